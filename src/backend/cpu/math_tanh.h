/* math_tanh.h - the constants that the vector forms of tanh share.
 *
 * Up to |x| = 9/16, tanh x = x + x^3 p(x^2), p of degree 4 interpolated at Chebyshev points (relative
 * error 5.2e-9); beyond, 1 - 2 / (e^2|x| + 1), where the quotient is small enough that its rounding
 * does not show. */
#ifndef CONURE_BACKEND_MATH_TANH_H
#define CONURE_BACKEND_MATH_TANH_H

#define CONURE_TANH_SMALL 0.5625f
#define CONURE_TANH_P0    (-0x1.555554p-2f)
#define CONURE_TANH_P1    0x1.110fb4p-3f
#define CONURE_TANH_P2    (-0x1.b9902cp-5f)
#define CONURE_TANH_P3    0x1.5c60f8p-6f
#define CONURE_TANH_P4    (-0x1.aba8f0p-8f)

#endif
