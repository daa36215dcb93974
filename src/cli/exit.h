/* exit.h - what the exit status of `conure` means.  The one place where it is defined; the manual
 * prints conure_exit_list from here. */
#ifndef CONURE_CLI_EXIT_H
#define CONURE_CLI_EXIT_H

#define CONURE_EXIT_LIST(X)                                                                        \
    X(GOOD, 0, "everything that was asked for was done")                                           \
    X(SOME, 1, "an input failed, was damaged, or did not match; the others were done")             \
    X(USAGE, 2,                                                                                    \
      "the command line was wrong, nothing was done; of conure contract, reference, parity, clear, " \
      "diagnose and noise-floor also: what was to be judged could not be")                          \
    X(CANNOT, 3,                                                                                   \
      "the command could not run or go on: model missing or unsupported, engine not available, "   \
      "output not writable")                                                                       \
    X(INTERRUPTED, 130, "interrupted (Ctrl-C); what was finished before is kept")

enum {
#define X(name, value, text) CONURE_EXIT_##name = value,
    CONURE_EXIT_LIST(X)
#undef X
};

#endif
