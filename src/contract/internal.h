/* internal.h - what the files of this folder share. */
#ifndef CONURE_CONTRACT_INTERNAL_H
#define CONURE_CONTRACT_INTERNAL_H

#include "contract/contract.h"

#include <jansson.h>

enum { CONURE_CONTRACT_FRAMES_MAX = 1 << 20, CONURE_CONTRACT_FORMAT = 1 };

/* Letters, digits and _ . : / - : what a name in a contract is made of. */
bool conure_contract_is_name(const char *name);

/* SHA-256 of the configuration's canonical JSON. */
conure_status conure_contract_config_hash(char hex[65], const conure_config *config, conure_error *err);

/* The whole contract as JSON, in the order of the file; given back with json_decref().  NULL: no memory. */
json_t *conure_contract_tree(const conure_contract *contract);

/* Words of the file for the flags of the contract: the same table reads and writes. */
extern const char *const conure_steps_names[3];

#endif
