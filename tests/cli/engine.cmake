if(TARGET conure AND CONURE_PYTHON)
    conure_cli_test(engine engine.py)
endif()
