/* spec.c - the words that choose an engine. */
#include "../test.h"
#include "engine/engine.h"

static void refused(const char *text, const char *part)
{
    conure_engine_spec spec;
    conure_error err = {""};
    test_int(conure_engine_spec_parse(&spec, text, &err), CONURE_BAD_ARG);
    test_contains(err.text, part);
}

int main(void)
{
    conure_engine_spec s;
    conure_error err = {""};
    const conure_engine *engine = NULL;
    test_begin("engine.spec");
    test_int(conure_engine_spec_parse(&s, "cpu", &err), CONURE_OK);
    test_text(s.engine, "cpu");
    test_int(s.precision, CONURE_PRECISION_DEFAULT);
    test_int(s.n_threads, 0);
    test_int(conure_engine_spec_parse(&s, "ort/cuda:int8@threads=3,isa=avx2", &err), CONURE_OK);
    test_text(s.engine, "ort/cuda");
    test_int(s.precision, CONURE_PRECISION_INT8);
    test_int(s.n_threads, 3);
    test_text(s.isa, "avx2");
    test_int(conure_engine_spec_parse(&s, "cpu@isa=vnni", &err), CONURE_OK);
    test_text(s.isa, "vnni");
    test_int(conure_engine_spec_parse(&s, "ort/cuda@device=1,library=/opt/a:b/lib@x.so", &err), CONURE_OK);
    test_int(s.device, 1);
    test_text(s.library, "/opt/a:b/lib@x.so");
    test_text(s.isa, "");
    test_text(s.ranges, "");
    test_int(conure_engine_spec_parse(&s, "ort/cpu:int8@threads=2,ranges=a:b/r@1.json", &err), CONURE_OK);
    test_text(s.ranges, "a:b/r@1.json");
    test_text(conure_engine_spec_options(&s, 0).ranges, "a:b/r@1.json");
    refused("ort/cpu:int8@ranges=", "known are");
    refused("", "expected BACKEND");
    refused(":f32", "expected BACKEND");
    refused("cpu:", "not one of");
    test_int(conure_engine_spec_parse(&s, "ref:f64@threads=2", &err), CONURE_OK);
    test_text(s.engine, "ref");
    test_int(s.precision, CONURE_PRECISION_F64);
    test_text(conure_precision_name(s.precision), "f64");
    refused("cpu:f63", "f32, bf16, int8, f64, tf32, f16");
    refused("cpu@", "known are");
    refused("cpu@threads=0", "1 to 64");
    refused("cpu@threads=65", "1 to 64");
    refused("cpu@threads=2x", "1 to 64");
    refused("cpu@threads=-1", "1 to 64");
    refused("ort/cuda@device=256", "0 to 255");
    refused("ort/cuda@device=", "known are");
    refused("ort/cuda@library=", "known are");
    refused("cpu@color=red", "color=red");
    refused("cpu@threads=2,threads=3", "'threads' is given twice");
    refused("ort/cpu@library=a,threads=2,library=a", "'library' is given twice");
    refused("cpu@isa=", "known are");
    test_int(conure_engine_find(&engine, "abacus", &err), CONURE_BACKEND);
    test_contains(err.text, "abacus");
    test_contains(err.text, "cpu");
    test_int(conure_engine_find(&engine, "cpu", &err), CONURE_OK);
    test_int(conure_engine_find(&engine, "ref", &err), CONURE_OK);
    test_text(engine->name, "ref");
    return test_end();
}
