/* Matrix products of tiles with weights and with gradients, of sizes that fill the registers. */
#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "vectors.h"

/* Vectors of a row of a product that are summed up together. */
#define WIDE (FEATURES / LANES % 2 ? 1 : 2)
/* Tiles whose sums fit the registers: 32 with AVX-512, 16 without. */
#define BLOCK (LANES == 16 ? 14 : 6)

#ifdef BF16
typedef __m512i Products;

INLINE Vector multiply_add(Vector sum, Products row, const Number *pair)
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)row, (__m512bh)_mm512_set1_epi32(both));
}

INLINE Products products(const Number *from) { return _mm512_loadu_si512(from); }

INLINE void store_tile(Number *to, Vector x, int tile)
{
    __m512i bits = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x));
    if (tile % 2)
        bits = _mm512_or_si512(_mm512_slli_epi32(bits, 16), _mm512_loadu_si512(to));
    _mm512_storeu_si512(to, bits);
}
#else
typedef Vector Products;

INLINE Vector multiply_add(Vector sum, Products row, const Number *number)
{
    return sum + row * *number;
}

INLINE Products products(const Number *from) { return OF(from); }

INLINE void store_tile(Number *to, Vector x, int tile)
{
    (void)tile;
    AT(to) = x;
}
#endif

/* Where numbers of a tile begin among those of a place, where a sum is over tiles. */
#define TILE_AT(tile) ((long)((tile) / PAIR) * PAIR * FEATURES)
#define TILES_SUMMED(tiles) (((tiles) + PAIR - 1) / PAIR)

/* to (tiles, out) = v (tiles, in) u (in, out), for a number of tiles known to the compiler. */
INLINE void multiply_block(const Number *v, const Number *u, float *to, const int tiles)
{
    for (int channel = 0; channel < FEATURES; channel += WIDE * LANES) {
        Vector sum[BLOCK][WIDE];
        UNROLL for (int i = 0; i < tiles; i++)
            UNROLL for (int j = 0; j < WIDE; j++) sum[i][j] = (Vector){0};
        for (int k = 0; k < FEATURES; k += PAIR) {
            Products row[WIDE];
            UNROLL for (int j = 0; j < WIDE; j++)
                row[j] = products(u + WEIGHT_AT(k, channel + j * LANES));
            UNROLL for (int i = 0; i < tiles; i++)
                UNROLL for (int j = 0; j < WIDE; j++)
                    sum[i][j] = multiply_add(sum[i][j], row[j], v + i * FEATURES + k);
        }
        UNROLL for (int i = 0; i < tiles; i++)
            UNROLL for (int j = 0; j < WIDE; j++)
                AT(to + i * FEATURES + channel + j * LANES) = sum[i][j];
    }
}

static void multiply(const Number *v, const Number *u, float *to, int tiles)
{
    int blocks = (tiles + BLOCK - 1) / BLOCK;
    for (int block = 0; block < blocks; block++) {
        long from = (long)(tiles * block / blocks) * FEATURES;
        switch (tiles * (block + 1) / blocks - tiles * block / blocks) {
#define CASE(n)                                                                                    \
    case n:                                                                                        \
        multiply_block(v + from, u, to + from, n);                                                 \
        break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if LANES == 16
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#endif
#undef CASE
        }
    }
}

/* sums (in, out) += v (tiles, in)^T w (tiles, out), both in pairs of tiles */
static void multiply_transposed(const Number *v, const Number *w, float *sums, int tiles)
{
    enum { ROWS = LANES / 2 };
    const int summed = TILES_SUMMED(tiles);
    for (int k = 0; k < FEATURES; k += ROWS)
        for (int channel = 0; channel < FEATURES; channel += WIDE * LANES) {
            float *to = sums + k * FEATURES + channel;
            const Number *a = v + PAIR * k, *b = w + PAIR * channel;
            Vector sum[ROWS][WIDE];
            UNROLL for (int i = 0; i < ROWS; i++)
                UNROLL for (int j = 0; j < WIDE; j++) sum[i][j] = OF(to + i * FEATURES + j * LANES);
            _Pragma("GCC unroll 2") for (int tile = 0; tile < summed; tile++)
            {
                UNROLL for (int i = 0; i < ROWS; i++)
                    UNROLL for (int j = 0; j < WIDE; j++)
                        sum[i][j] =
                            multiply_add(sum[i][j], products(b + PAIR * j * LANES), a + PAIR * i);
                a += PAIR * FEATURES, b += PAIR * FEATURES;
            }
            UNROLL for (int i = 0; i < ROWS; i++)
                UNROLL for (int j = 0; j < WIDE; j++) AT(to + i * FEATURES + j * LANES) = sum[i][j];
        }
}

#endif
