/* engines.h - what the options that choose an engine say together. */
#ifndef CONURE_CLI_ENGINES_H
#define CONURE_CLI_ENGINES_H

#include "engine/engine.h"

/* A setting of --engine wins over the option of its own: warn where both are given and differ. */
void conure_engines_warn(const conure_recognizer_options *options);

#endif
