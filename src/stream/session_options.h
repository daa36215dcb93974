/* session_options.h - checking what a session is asked for. */
#ifndef CONURE_STREAM_SESSION_OPTIONS_H
#define CONURE_STREAM_SESSION_OPTIONS_H

#include "base/error.h"
#include "conure.h"
#include "model/model.h"

/* The caller's options, or defaults for NULL; BAD_ARG names the option, its value and its range. */
conure_status conure_session_options_take(conure_session_options *out, const conure_session_options *given, conure_error *err);
conure_status conure_session_check_rate(uint32_t rate_hz, conure_error *err); /* 0 is the model's */
/* Contexts left, chunk and right in encoder frames of a model. */
conure_status conure_session_contexts(const conure_session_options *options, const conure_config *config, uint32_t frames[3],
                                      conure_error *err);

#endif
