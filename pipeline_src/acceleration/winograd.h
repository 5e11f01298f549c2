/* 3x3 convolutions from FEATURES to FEATURES channels as Winograd F(2x2, 3x3), and their gradients.
 *
 * Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016: an output tile of
 * two by two pixels is Y = A^T [(G g G^T) * (B^T d B)] A, with 16 products a pair of channels
 * instead of 36. The sum over channels makes each of the 16 places a matrix product. Its exact
 * gradient with respect to g is G^T [(B^T d B) * (A dY A^T)] G. One row of tiles is worked on at a
 * time, so that what lies between the steps stays in the cache.
 */
#ifndef WINOGRAD_H
#define WINOGRAD_H

#include "products.h"

#define PLACES 16
#define SQUARE (FEATURES * FEATURES)
/* Tiles of a row worked on at once, measured: 256 KiB an array at 32 channels. */
#define ROW_TILES 64
#define ROW_FLOATS (PLACES * ROW_TILES * FEATURES)

/* Products need no preparation. */
#define begin_products()
#define end_products()

/* U = G g G^T of `weight` (out, in, 3, 3) as (place, in, out); for the gradient with respect to the
 * image, `backward`, with taps turned round as (place, out, in). */
static void transform_weight(const float *weight, int backward, Number *to, int first, int last)
{
    for (int in = first; in < last; in++)
        for (int out = 0; out < FEATURES; out++) {
            const float *g = weight + (backward ? in * FEATURES + out : out * FEATURES + in) * TAPS;
            float half[4][3];
            for (int j = 0; j < 3; j++) {
                float a = backward ? g[8 - j] : g[j];
                float b = backward ? g[5 - j] : g[3 + j];
                float c = backward ? g[2 - j] : g[6 + j];
                half[0][j] = a;
                half[1][j] = ((a + c) + b) / 2;
                half[2][j] = ((a + c) - b) / 2;
                half[3][j] = c;
            }
            for (int i = 0; i < 4; i++) {
                float a = half[i][0], b = half[i][1], c = half[i][2];
                Number *u = to + 4 * i * SQUARE + WEIGHT_AT(in, out);
                u[0] = rounded(a);
                u[SQUARE] = rounded(((a + c) + b) / 2);
                u[2 * SQUARE] = rounded(((a + c) - b) / 2);
                u[3 * SQUARE] = rounded(c);
            }
        }
}

/* G^T U G of the places of one pair of channels, `stride` floats apart: nine taps. */
static void transform_weight_gradient(const float *u, long stride, float *taps)
{
    float half[3][4];
    for (int j = 0; j < 4; j++) {
        float a = u[j * stride], b = u[(4 + j) * stride], c = u[(8 + j) * stride];
        half[0][j] = a + (b + c) / 2;
        half[1][j] = (b - c) / 2;
        half[2][j] = u[(12 + j) * stride] + (b + c) / 2;
    }
    for (int i = 0; i < 3; i++) {
        float b = half[i][1], c = half[i][2];
        taps[3 * i] = half[i][0] + (b + c) / 2;
        taps[3 * i + 1] = (b - c) / 2;
        taps[3 * i + 2] = half[i][3] + (b + c) / 2;
    }
}

/* B^T d B of a row of tiles, from the pixel above and left of its first, as (place, tile, in); in
 * pairs of tiles where `summed` over. */
INLINE void transform_image(const Number *image, long stride, int tiles, int summed, Number *to)
{
    const long place = (summed ? TILES_SUMMED(tiles) * PAIR : tiles) * (long)FEATURES;
    for (int channel = 0; channel < FEATURES; channel += LANES) {
        const Number *d = image + channel;
        Vector w[4][4];
#define COLUMN(j)                                                                                  \
    {                                                                                              \
        Vector a = load(d), b = load(d + stride);                                                  \
        Vector c = load(d + 2 * stride), e = load(d + 3 * stride);                                 \
        w[0][j] = a - c, w[1][j] = b + c, w[2][j] = c - b, w[3][j] = b - e;                        \
        d += FEATURES;                                                                             \
    }
        COLUMN(0)
        COLUMN(1)
        for (int tile = 0; tile < tiles; tile++) {
            COLUMN(2)
            COLUMN(3)
            UNROLL for (int i = 0; i < 4; i++)
            {
                Vector v[4] = {w[i][0] - w[i][2], w[i][1] + w[i][2], w[i][2] - w[i][1],
                               w[i][1] - w[i][3]};
                UNROLL for (int j = 0; j < 4; j++)
                {
                    Number *at = to + (4 * i + j) * place;
                    if (summed)
                        store_tile(at + TILE_AT(tile) + PAIR * channel, v[j], tile);
                    else
                        store(at + (long)tile * FEATURES + channel, v[j]);
                }
                w[i][0] = w[i][2], w[i][1] = w[i][3];
            }
        }
#undef COLUMN
    }
}

/* A dY A^T of a row of tiles as (place, tile, out), in pairs of tiles; adds dY to `of_bias` (out).
 */
static void transform_gradient(const Number *gradient, long stride, int tiles, Number *to,
                               float *of_bias)
{
    const long place = TILES_SUMMED(tiles) * PAIR * (long)FEATURES;
    for (int channel = 0; channel < FEATURES; channel += LANES) {
        const Number *g = gradient + channel;
        Vector sum = OF(of_bias + channel);
        for (int tile = 0; tile < tiles; tile++, g += 2 * FEATURES) {
            Vector a = load(g), b = load(g + FEATURES);
            Vector c = load(g + stride), d = load(g + stride + FEATURES);
            Vector left[4] = {a, a + c, a - c, -c}, right[4] = {b, b + d, b - d, -d};
            Number *w = to + TILE_AT(tile) + PAIR * channel;
            UNROLL for (int i = 0; i < 4; i++)
            {
                store_tile(w + (4 * i + 0) * place, left[i], tile);
                store_tile(w + (4 * i + 1) * place, left[i] + right[i], tile);
                store_tile(w + (4 * i + 2) * place, left[i] - right[i], tile);
                store_tile(w + (4 * i + 3) * place, -right[i], tile);
            }
            sum += left[1] + right[1];
        }
        AT(of_bias + channel) = sum;
    }
}

/* A^T m A of a row of tiles, finished and written from its first pixel, `high` rows of at most
 * `wide` columns. */
static void transform_output(const float *from, int tiles, const Finish *how, int high, int wide,
                             long stride, Number *to)
{
    const long place = (long)tiles * FEATURES;
    for (int channel = 0; channel < FEATURES; channel += LANES) {
        const float *m = from + channel;
        for (int tile = 0; tile < tiles; tile++, m += FEATURES) {
            Vector s[4][2], y[2][2];
            UNROLL for (int i = 0; i < 4; i++)
            {
                Vector b = OF(m + (4 * i + 1) * place), c = OF(m + (4 * i + 2) * place);
                s[i][0] = OF(m + 4 * i * place) + (b + c);
                s[i][1] = (b - c) - OF(m + (4 * i + 3) * place);
            }
            UNROLL for (int j = 0; j < 2; j++)
            {
                y[0][j] = s[0][j] + (s[1][j] + s[2][j]);
                y[1][j] = (s[1][j] - s[2][j]) - s[3][j];
            }
            int columns = wide - 2 * tile < 2 ? 1 : 2;
            for (int i = 0; i < high; i++)
                for (int j = 0; j < columns; j++) {
                    long pixel = (long)(2 * tile + j) * FEATURES + channel;
                    long at = i * stride + pixel, bare = i * how->addend_stride + pixel;
                    store(to + at, finished(y[i][j], how, channel, at, bare));
                }
        }
    }
}

/* Ask the memory for part `place` of PLACES of two rows, while the products are computed. */
INLINE void prefetch(const Number *rows, long stride, int tiles, int place)
{
    enum { LINE = 64 / sizeof(Number) };
    const long lines = 2L * tiles * FEATURES / LINE;
    for (long line = lines * place / PLACES; line < lines * (place + 1) / PLACES; line++) {
        __builtin_prefetch(rows + LINE * line, 0, 2);
        __builtin_prefetch(rows + stride + LINE * line, 0, 2);
    }
}

/* Convolve `image`, framed, into row `tile_row` of tiles of `to`, framed.
 *
 * `scratch` holds 2 * ROW_FLOATS. */
static void convolve_row(const Number *image, const Number *u, const Finish *how, int tile_row,
                         int rows, int columns, long stride, Number *to, float *scratch)
{
    const int all = (columns + 1) / 2, parts = (all + ROW_TILES - 1) / ROW_TILES;
    const int high = rows - 2 * tile_row < 2 ? 1 : 2;
    for (int part = 0; part < parts; part++) {
        int first = all * part / parts, tiles = all * (part + 1) / parts - first;
        long corner = 2 * tile_row * stride + 2 * first * FEATURES, pixel = stride + FEATURES;
        Finish here = *how;
        if (how->addend)
            here.addend += 2 * tile_row * how->addend_stride + 2 * first * FEATURES;
        if (how->output)
            here.output += corner;
        Number *images = (Number *)scratch;
        float *sums = scratch + ROW_FLOATS;
        transform_image(image + corner, stride, tiles, 0, images);
        for (int place = 0; place < PLACES; place++) {
            long at = (long)place * tiles * FEATURES;
            multiply(images + at, u + place * SQUARE, sums + at, tiles);
            prefetch(image + corner + 4 * stride, stride, tiles, place);
            prefetch(to + corner + pixel, stride, tiles, place);
            if (here.output)
                prefetch(here.output, stride, tiles, place);
        }
        transform_output(sums, tiles, &here, high, columns - 2 * first, stride,
                         to + corner + pixel);
    }
}

/* Add row `tile_row`'s part of the gradient to `of_weight` (place, in, out) and `of_bias` (out). */
static void convolve_row_gradient(const Number *image, const Number *gradient, int tile_row,
                                  int columns, long stride, float *of_weight, float *of_bias,
                                  float *scratch)
{
    const int all = (columns + 1) / 2, parts = (all + ROW_TILES - 1) / ROW_TILES;
    for (int part = 0; part < parts; part++) {
        int first = all * part / parts, tiles = all * (part + 1) / parts - first;
        long corner = 2 * tile_row * stride + 2 * first * FEATURES, pixel = stride + FEATURES;
        Number *images = (Number *)scratch, *gradients = (Number *)(scratch + ROW_FLOATS);
        transform_image(image + corner, stride, tiles, 1, images);
        transform_gradient(gradient + corner + pixel, stride, tiles, gradients, of_bias);
        for (int place = 0; place < PLACES; place++) {
            long at = (long)place * TILES_SUMMED(tiles) * PAIR * FEATURES;
            multiply_transposed(images + at, gradients + at, of_weight + place * SQUARE, tiles);
            prefetch(image + corner + 4 * stride, stride, tiles, place);
            prefetch(gradient + corner + pixel + 2 * stride, stride, tiles, place);
        }
    }
}

#endif
