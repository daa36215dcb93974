/* consumer.c - what a user of the installed library writes: one second of silence through a model. */
#include <conure.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static const float silence[16000];
    const float *pcm = silence;
    const size_t n_samples = 16000;
    conure_error error = {""};
    conure_model *model = NULL;
    conure_recognizer *recognizer = NULL;
    conure_result *result = NULL;
    if (argc == 2 && conure_model_open(&model, argv[1], NULL, &error) == CONURE_OK &&
        conure_recognizer_open(&recognizer, model, NULL, &error) == CONURE_OK &&
        conure_transcribe(recognizer, &pcm, &n_samples, 1, &result, &error) == CONURE_OK)
        printf("conure %s: %u frames\n", conure_version(), (unsigned)result->n_frames);
    else
        fprintf(stderr, "%s\n", error.text);
    const int failed = !result;
    conure_result_free(&result);
    conure_recognizer_close(&recognizer);
    conure_model_close(&model);
    return failed;
}
