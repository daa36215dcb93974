if(TARGET conure AND CONURE_PYTHON)
    conure_cli_test(contract contract.py)
endif()
