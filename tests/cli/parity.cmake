if(TARGET conure AND CONURE_PYTHON)
    conure_cli_test(parity parity.py)
    conure_cli_test(diagnose diagnose.py)
endif()
