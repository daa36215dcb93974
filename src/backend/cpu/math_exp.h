/* math_exp.h - the constants that the vector forms of exp share.
 *
 * e^x = 2^n e^r, n = round(x log2 e), r = x - n ln 2.  e^r = 1 + r + r^2 q(r), where q is the
 * polynomial of degree 4 with the smallest largest relative error of e^r over |r| <= ln 2 / 2
 * (found by reweighted least squares; 3.1e-9, a twentieth of half an ulp). */
#ifndef CONURE_BACKEND_MATH_EXP_H
#define CONURE_BACKEND_MATH_EXP_H

#define CONURE_EXP_LOW      (-106.0f) /* below half the smallest subnormal: the result is 0 */
#define CONURE_EXP_HIGH     89.0f     /* above ln(FLT_MAX): the result is infinity */
#define CONURE_EXP_LOG2E    0x1.715476p+0f
#define CONURE_EXP_LN2_HIGH 0x1.62e400p-1f /* 12 zero bits at the end: n times it is exact */
#define CONURE_EXP_LN2_LOW  0x1.7f7d1cp-20f
#define CONURE_EXP_Q0       0x1.fffffcp-2f
#define CONURE_EXP_Q1       0x1.555492p-3f
#define CONURE_EXP_Q2       0x1.5558f2p-5f
#define CONURE_EXP_Q3       0x1.123a00p-7f
#define CONURE_EXP_Q4       0x1.6a2402p-10f

#endif
