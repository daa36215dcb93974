if(TARGET conure AND CONURE_PYTHON)
    conure_cli_test(clear clear.py)
    conure_cli_test(parity parity.py)
    if(NOT CONURE_SANITIZE) # the page is the same
        conure_cli_test(page page.py)
    endif()
    conure_cli_test(diagnose diagnose.py)
endif()
