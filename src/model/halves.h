/* halves.h - float16 and bfloat16 to float32 and back, without branches where loops should vectorise.
 * Exact; narrowing rounds to nearest even.  model.h declares the same as functions. */
#ifndef CONURE_MODEL_HALVES_H
#define CONURE_MODEL_HALVES_H

#include <stdint.h>
#include <string.h>

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A half is 1 sign, 5 exponent (bias 15), 10 fraction bits; a float 1, 8 (bias 127), 23. */
static inline float widen_f16(uint16_t half)
{
    const uint32_t magnitude = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t normal = (magnitude << 13) + ((127u - 15u) << 23);
    /* Below 2^-14 the fraction counts units of 2^-24: an exact integer times an exact power of 2. */
    const uint32_t tiny = bits_of_float((float)(int32_t)magnitude * 0x1p-24f);
    /* Infinity and NaN keep their fraction: lift the exponent from 31 to 255. */
    const uint32_t lifted = normal + ((255u - 31u - (127u - 15u)) << 23);
    const uint32_t bits = magnitude < 0x400u ? tiny : magnitude >= 0x7c00u ? lifted : normal;
    return float_of_bits(bits | sign);
}

static inline uint16_t narrow_f16(float value)
{
    const uint32_t bits = bits_of_float(value), sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    /* Normal halves: move the exponent's bias, then add half a unit (less one when even) and cut. */
    const uint32_t moved = magnitude - ((127u - 15u) << 23);
    const uint32_t normal = (moved + 0xfffu + ((moved >> 13) & 1u)) >> 13;
    /* Below 2^-14: adding 0.5 puts units of 2^-24 at the end of the fraction, rounded by the FPU. */
    const uint32_t tiny = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu); /* quiet, as processors do */
    uint32_t half = magnitude < 0x38800000u ? tiny : normal;
    /* 2^16 and more is infinity; 65520 and more carries there by itself. */
    half = magnitude >= 0x47800000u ? 0x7c00u : half;
    half = magnitude > 0x7f800000u ? nan : half;
    return (uint16_t)(half | sign);
}

static inline float widen_bf16(uint16_t bits)
{
    return float_of_bits((uint32_t)bits << 16);
}

static inline uint16_t narrow_bf16(float value)
{
    const uint32_t bits = bits_of_float(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t nan = (bits >> 16) | 0x40u; /* rounding could turn a NaN into infinity */
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

#endif
