/* commands.c - the list of commands, in the order that help prints them. */
#include "cli/command.h"

const conure_command *const conure_commands[] = {
    &conure_command_transcribe, &conure_command_stream, &conure_command_model,
#ifdef CONURE_HAVE_CURL
    &conure_command_pull,
#endif
    &conure_command_bench,      &conure_command_doctor,
#ifdef CONURE_HAVE_WER
    &conure_command_wer,
#endif
#ifdef CONURE_HAVE_ONNX
    &conure_command_export,
#endif
    &conure_command_engine,     &conure_command_clear,      &conure_command_contract,  &conure_command_reference,
    &conure_command_parity,     &conure_command_diagnose,  &conure_command_candidate,
    &conure_command_noise_floor, &conure_command_completion, &conure_command_help,
    NULL,
};
