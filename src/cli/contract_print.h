/* contract_print.h - contracts and reports on standard output, for people and as JSON.  Each returns false when there is no
 * memory. */
#ifndef CONURE_CLI_CONTRACT_PRINT_H
#define CONURE_CLI_CONTRACT_PRINT_H

#include "clearance/check.h"

/* The whole, and the lengths of n_steps steps on each profile. */
bool conure_contract_print(const conure_contract *contract, const char *sha256, uint32_t n_steps, bool json);
/* That a file is a valid contract. */
bool conure_contract_print_valid(const conure_contract *contract, const char *path, const char *sha256, bool json);
/* How an engine did. */
bool conure_contract_print_report(const conure_contract *contract, const char *path, const char *sha256, const char *engine,
                                  const conure_check_report *report, bool json);

#endif
