if(TARGET conure AND CONURE_PYTHON AND CONURE_ONNX)
    conure_cli_test(export export.py)
endif()
