// consumer.cc - consumer.c in C++: the header's types and enumerations are usable, and a failure has a text.
#include <conure.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

struct Close {
    void operator()(conure_model *model) const { conure_model_close(&model); }
    void operator()(conure_recognizer *recognizer) const { conure_recognizer_close(&recognizer); }
    void operator()(conure_result *result) const { conure_result_free(&result); }
};

int main(int argc, char **argv)
{
    const std::vector<float> silence(16000);
    const float *pcm = silence.data();
    const std::size_t n_samples = silence.size();
    conure_error error{};
    conure_model *model = nullptr;
    conure_recognizer *recognizer = nullptr;
    conure_result *result = nullptr;
    if (argc != 2 || conure_model_open(&model, "no such file", nullptr, &error) != CONURE_IO ||
        std::string(error.text).find("no such file") == std::string::npos)
        return 2;
    conure_model_open(&model, argv[1], nullptr, &error);
    const std::unique_ptr<conure_model, Close> model_owner(model);
    if (model)
        conure_recognizer_open(&recognizer, model, nullptr, &error);
    const std::unique_ptr<conure_recognizer, Close> recognizer_owner(recognizer);
    if (recognizer)
        conure_transcribe(recognizer, &pcm, &n_samples, 1, &result, &error);
    const std::unique_ptr<conure_result, Close> result_owner(result);
    if (!result) {
        std::fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    std::printf("conure %s: %u frames\n", conure_version(), static_cast<unsigned>(result->n_frames));
    return 0;
}
