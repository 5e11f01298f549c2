/* Vectors of single-precision numbers, as wide as the processor's, and what every kernel shares.
 *
 * Features are kept in single precision, or with BF16 defined in bfloat16, in which case the matrix
 * products take bfloat16 too; all sums are in single precision either way.
 *
 * A layer's features are (row, column, channel), with a frame of zeros one pixel wide: no kernel
 * asks where an image ends. Rows and columns are rounded up to even numbers, since Winograd tiles
 * are two by two; what is beyond the image is zero too.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifndef FEATURES
#error "FEATURES, the channels between the first and the last layer, is to be defined"
#endif
#if FEATURES % 16
#error "FEATURES is to be a multiple of 16"
#endif

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#define TAPS 9
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(LANES * 4)));

#define AT(place) (*(Vector *)(place))
#define OF(place) (*(const Vector *)(place))

/* A number of the features, and of what the matrix products take.
 *
 * The products' instructions take bfloat16 numbers in pairs of neighbours in what is summed over:
 * weights of two channels lie side by side, and so do images and gradients of two places, where a
 * sum is over places. */
#ifdef BF16
#define PAIR 2
#define WEIGHT_AT(in, out) ((in) / 2 * 2 * FEATURES + 2 * (out) + (in) % 2)

typedef uint16_t Number;

INLINE Number rounded(float x)
{
    Vector all = {x};
    return (Number)_mm256_extract_epi16((__m256i)_mm512_cvtneps_pbh((__m512)all), 0);
}

INLINE Vector load(const Number *from)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return (Vector)_mm512_slli_epi32(wide, 16);
}

INLINE void store(Number *to, Vector x)
{
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}
#else
#define PAIR 1
#define WEIGHT_AT(in, out) ((in)*FEATURES + (out))

typedef float Number;

INLINE Number rounded(float x) { return x; }

INLINE Vector load(const Number *from) { return OF(from); }

INLINE void store(Number *to, Vector x) { AT(to) = x; }
#endif

/* Also what is not a number passes, so that a training that diverges shows it. */
INLINE Vector relu(Vector x) { return (Vector)((Mask)x & ~(Mask)(x < 0)); }

INLINE Vector relu_gradient(Vector gradient, Vector output)
{
    return (Vector)((Mask)gradient & ~(Mask)(output <= 0));
}

/* What becomes of each pixel's number before it is written; what is not wanted is NULL. */
typedef struct {
    const float *bias;    /* (FEATURES) */
    const float *addend;  /* features without a frame, in single precision, at the first pixel */
    long addend_stride;   /* numbers from row to row of it */
    const Number *output; /* of a ReLU whose gradient is taken; framed, at the first pixel */
    int rectify;          /* apply ReLU */
} Finish;

/* Number `x` of `channel`, at `at` numbers from the first pixel of a framed plane, or `bare` in one
 * without a frame. */
INLINE Vector finished(Vector x, const Finish *how, int channel, long at, long bare)
{
    if (how->bias)
        x += OF(how->bias + channel);
    if (how->addend)
        x += OF(how->addend + bare);
    if (how->output)
        x = relu_gradient(x, load(how->output + at));
    return how->rectify ? relu(x) : x;
}

#endif
