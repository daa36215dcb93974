/* engines.c - see engines.h. */
#include "cli/engines.h"

#include <string.h>

#include "cli/terminal.h"
#include "engine/engine.h"

void conure_engines_warn(const conure_recognizer_options *o)
{
    conure_engine_spec spec;
    if (!o->engine || conure_engine_spec_parse(&spec, o->engine, NULL) != CONURE_OK)
        return; /* opening it says what is wrong */
    if (spec.n_threads && o->n_threads && spec.n_threads != o->n_threads)
        conure_say(CONURE_SAY_WARNING, "--threads %u is not used: --engine says threads=%u", o->n_threads,
                   spec.n_threads);
    if (spec.isa[0] && o->isa && strcmp(spec.isa, o->isa) != 0)
        conure_say(CONURE_SAY_WARNING, "--isa %s is not used: --engine says isa=%s", o->isa, spec.isa);
    if (spec.device && o->device && spec.device != o->device)
        conure_say(CONURE_SAY_WARNING, "--device %u is not used: --engine says device=%u", o->device, spec.device);
    if (spec.precision && o->precision && spec.precision != o->precision)
        conure_say(CONURE_SAY_WARNING, "--precision %s is not used: --engine says %s",
                   conure_precision_name(o->precision), conure_precision_name(spec.precision));
}
