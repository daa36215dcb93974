/* cleared.h - is what is about to run what was cleared? */
#ifndef CONURE_CLI_CLEARED_H
#define CONURE_CLI_CLEARED_H

#include "conure.h"

/* Compare a clearance's folder (conure clear) with a model and the recognizer that was opened for it: its verdict, as its evidence gives it;
 * the weights; engine, precision and mask convention; the program's version; the
 * files that it rests on; and of a session its mode and contexts.
 *   folder  NULL: nobody asked
 *   session NULL: none is in question
 *   strict  what differs is an error; else a warning on standard error
 * Returns OK; UNSUPPORTED (strict, and something differs: the text names the first and the way out), IO, BAD_FILE, NO_MEMORY. */
conure_status conure_cleared_check(const char *folder, bool strict, const conure_model *model, const conure_recognizer *recognizer,
                                   const conure_session_options *session, conure_error *err);

#endif
