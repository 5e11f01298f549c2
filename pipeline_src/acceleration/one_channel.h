/* 3x3 convolutions from one channel to FEATURES and back, and their gradients, pixel by pixel.
 *
 * Planes of one channel have the frame of zeros of the features, so a pixel is at the same place.
 */
#ifndef ONE_CHANNEL_H
#define ONE_CHANNEL_H

#include "vectors.h"

/* Sums that do not wait for each other, each over every so many channels. */
#define CHAINS (FEATURES % 32 ? 1 : 2)

/* The sum of sixteen numbers, in the same order whatever the vectors' width. */
INLINE float total(const Vector *x)
{
#if LANES == 16
    __m512d all = _mm512_castps_pd((__m512)*x);
    __m256 half = _mm256_add_ps(_mm256_castpd_ps(_mm512_castpd512_pd256(all)),
                                _mm256_castpd_ps(_mm512_extractf64x4_pd(all, 1)));
#else
    __m256 half = (__m256)(x[0] + x[1]);
#endif
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

/* `weight` (FEATURES, 3, 3) as (tap, FEATURES), with taps turned round where `turned`. */
static void by_tap(const float *weight, int turned, float *to)
{
    for (int channel = 0; channel < FEATURES; channel++)
        for (int tap = 0; tap < TAPS; tap++)
            to[(turned ? TAPS - 1 - tap : tap) * FEATURES + channel] = weight[channel * TAPS + tap];
}

/* The place of a tap's pixel, from a pixel's own, in a plane with `stride` numbers a row. */
#define TAP(tap) (((tap) / 3 - 1) * stride + (tap) % 3 - 1)

/* One row from one channel to features: `plane` and `to` at the row's first pixel. */
static void spread_row(const float *plane, const float *taps, const Finish *how, int columns,
                       long stride, Number *to)
{
    for (int channel = 0; channel < FEATURES; channel += LANES) {
        Vector weight[TAPS];
        UNROLL for (int tap = 0; tap < TAPS; tap++)
            weight[tap] = OF(taps + tap * FEATURES + channel);
        for (int column = 0; column < columns; column++) {
            Vector sum = {0};
            UNROLL for (int tap = 0; tap < TAPS; tap++)
                sum += weight[tap] * plane[column + TAP(tap)];
            long at = (long)column * FEATURES + channel;
            store(to + at, finished(sum, how, channel, at, at));
        }
    }
}

/* One row from features to one channel: `image` at the row's first pixel, `to` (columns). */
static void gather_row(const Number *image, const float *taps, float bias, int columns, long stride,
                       float *to)
{
    enum { PARTS = FEATURES / LANES, SUMS = 16 / LANES * CHAINS };
    Vector weight[TAPS * PARTS];
    UNROLL for (int i = 0; i < TAPS * PARTS; i++) weight[i] = OF(taps + i * LANES);
    for (int column = 0; column < columns; column++) {
        const Number *x = image + (long)column * FEATURES;
        Vector sum[SUMS];
        UNROLL for (int j = 0; j < SUMS; j++) sum[j] = (Vector){0};
        UNROLL for (int i = 0; i < TAPS * PARTS; i++)
        {
            long at = TAP(i / PARTS) * FEATURES + i % PARTS * LANES;
            sum[i % SUMS] += load(x + at) * weight[i];
        }
        UNROLL for (int j = SUMS - 1; j >= 16 / LANES; j--) sum[j - 16 / LANES] += sum[j];
        to[column] = total(sum) + bias;
    }
}

/* Add one row's products of a plane's taps with features to `sums` (tap, FEATURES), and of one with
 * features to `total` (FEATURES). */
static void correlate_row(const float *plane, const Number *image, int columns, long stride,
                          float *sums, float *total)
{
    for (int channel = 0; channel < FEATURES; channel += LANES) {
        Vector sum[TAPS], all = OF(total + channel);
        UNROLL for (int tap = 0; tap < TAPS; tap++) sum[tap] = OF(sums + tap * FEATURES + channel);
        for (int column = 0; column < columns; column++) {
            Vector x = load(image + (long)column * FEATURES + channel);
            UNROLL for (int tap = 0; tap < TAPS; tap++) sum[tap] += x * plane[column + TAP(tap)];
            all += x;
        }
        UNROLL for (int tap = 0; tap < TAPS; tap++) AT(sums + tap * FEATURES + channel) = sum[tap];
        AT(total + channel) = all;
    }
}

#endif
