/* doctor.h - findings about this machine and installation. */
#ifndef CONURE_CLI_DOCTOR_H
#define CONURE_CLI_DOCTOR_H

#include "conure.h"

typedef enum conure_finding_state {
    CONURE_FINDING_GOOD = 0,
    CONURE_FINDING_NOTE,    /* works, but could be better: the advice says how */
    CONURE_FINDING_MISSING, /* stands in the way of transcribing */
} conure_finding_state;

typedef struct conure_finding {
    const char *name; /* static: "processor" */
    conure_finding_state state;
    char value[512];  /* what was found or chosen */
    char advice[640]; /* why, or what to do; "" when there is nothing to say */
} conure_finding;

#define CONURE_FINDINGS_MAX 24

typedef struct conure_findings {
    conure_finding rows[CONURE_FINDINGS_MAX];
    uint32_t n;
} conure_findings;

/* model and isa as on the command line or NULL.  Opens the model and transcribes half a second, to see
 * that it works. */
void conure_doctor_examine(conure_findings *findings, const char *model, const char *isa);

#endif
