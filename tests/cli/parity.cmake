if(TARGET conure AND CONURE_PYTHON)
    conure_cli_test(parity parity.py)
endif()
