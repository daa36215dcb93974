/* unroll.h - asking the compiler to unroll a loop of a constant, small count whole, so that an array it
 * walks through becomes registers.  gcc and clang hear different words. */
#ifndef CONURE_BACKEND_UNROLL_H
#define CONURE_BACKEND_UNROLL_H

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
