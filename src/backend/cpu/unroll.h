/* unroll.h - asking the compiler to unroll a loop of a constant, small count whole, so that an array it
 * walks through becomes registers.  gcc and clang hear different words.  Not under the sanitizers: each
 * step then carries its checks, and clang takes minutes for what nobody times. */
#ifndef CONURE_BACKEND_UNROLL_H
#define CONURE_BACKEND_UNROLL_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL
#elif defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define UNROLL
#else
#define UNROLL _Pragma("clang loop unroll(full)")
#endif
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
