/* 3x3 convolutions from FEATURES to FEATURES channels, and their gradients, with AMX: the functions
 * of winograd.h for processors that multiply tiles.
 *
 * A tile is 16 rows of 64 bytes. TDPBF16PS adds the product of two tiles, (16, 32) with (32, 16)
 * bfloat16 numbers, the latter in pairs of rows, to one of (16, 16) in single precision: Intel 64
 * and IA-32 Architectures Software Developer's Manual, volume 2. Each tap is a matrix product of
 * pixels with weights. Winograd's transforms would take longer than the products they save. Every
 * sum has one fixed order, which is not that of winograd.h.
 */
#ifndef AMX_H
#define AMX_H

#include "vectors.h"

#if FEATURES % 32
#error "with AMX, FEATURES is to be a multiple of 32"
#endif

#define PLACES TAPS
#define SQUARE (FEATURES * FEATURES)
/* Rows of a tile, and single-precision numbers of each; and bfloat16 numbers of each. */
#define SIDE 16
#define DEPTH 32
/* Bytes from pixel to pixel, and from pair to pair. */
#define PIXEL ((long)(FEATURES * sizeof(Number)))
#define PAIRED (2 * PIXEL)
/* Pixels of a row worked on at once; they and their neighbours are six tiles. */
#define ROW_PIXELS 190
/* Numbers from channel to channel of a turned row; both taps behind the last tile are inside. */
#define TURNED 208
#define ROW_FLOATS ((4 * TURNED + 2 * 192) * FEATURES / 4)

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row, a tile each */
    uint8_t rows[16];
} Tiles;

#define EIGHT(x) {x, x, x, x, x, x, x, x}
static const Tiles tiles_of_16_rows = {.palette = 1, .bytes = EIGHT(64), .rows = EIGHT(SIDE)};

static void begin_products(void) { _tile_loadconfig(&tiles_of_16_rows); }

static void end_products(void) { _tile_release(); }

/* What was stored is in memory before tiles are loaded, which some compilers do not know. */
#define STORED __asm__ volatile("" ::: "memory")

/* Tiles 0 to 3, two by two, += those at `a` and at `a_next` times those at `b`, side by side. */
#define ADD_PRODUCTS(a, a_next, a_stride, b)                                                       \
    {                                                                                              \
        _tile_loadd(4, a, a_stride);                                                               \
        _tile_loadd(5, a_next, a_stride);                                                          \
        _tile_loadd(6, b, PAIRED);                                                                 \
        _tile_loadd(7, (b) + 2 * SIDE, PAIRED);                                                    \
        _tile_dpbf16ps(0, 4, 6);                                                                   \
        _tile_dpbf16ps(1, 4, 7);                                                                   \
        _tile_dpbf16ps(2, 5, 6);                                                                   \
        _tile_dpbf16ps(3, 5, 7);                                                                   \
    }

/* `weight` (out, in, 3, 3) as (tap, in, out) in pairs of `in`; for the gradient with respect to the
 * image, `backward`, with taps turned round as (tap, out, in). */
static void transform_weight(const float *weight, int backward, Number *to, int first, int last)
{
    for (int in = first; in < last; in++)
        for (int out = 0; out < FEATURES; out++) {
            const float *g = weight + (backward ? in * FEATURES + out : out * FEATURES + in) * TAPS;
            for (int tap = 0; tap < TAPS; tap++)
                to[tap * SQUARE + WEIGHT_AT(in, out)] = rounded(g[backward ? TAPS - 1 - tap : tap]);
        }
}

/* The taps of one pair of channels, `stride` floats apart. */
static void transform_weight_gradient(const float *u, long stride, float *taps)
{
    for (int tap = 0; tap < TAPS; tap++) taps[tap] = u[tap * stride];
}

/* Convolve `image`, framed, into pixel rows 2 * `tile_row` and the next of `to`, framed.
 *
 * Up to 17 pixels behind the last row's frame are read, and not used. */
static void convolve_row(const Number *image, const Number *u, const Finish *how, int tile_row,
                         int rows, int columns, long stride, Number *to, float *scratch)
{
    const int high = rows - 2 * tile_row < 2 ? 1 : 2;
    const long top = 2 * tile_row * stride;
    Finish here = *how;
    if (how->addend)
        here.addend += 2 * tile_row * how->addend_stride;
    if (how->output)
        here.output += top;
    STORED;
    for (int column = 0; column < columns; column += SIDE)
        for (int out = 0; out < FEATURES; out += DEPTH) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (int tap = 0; tap < TAPS; tap++)
                for (int in = 0; in < FEATURES; in += DEPTH) {
                    const Number *a =
                        image + top + tap / 3 * stride + (column + tap % 3) * FEATURES + in;
                    const Number *b = u + tap * SQUARE + WEIGHT_AT(in, out);
                    ADD_PRODUCTS(a, a + stride, PIXEL, b)
                }
            _tile_stored(0, scratch, 4 * DEPTH);
            _tile_stored(1, scratch + SIDE, 4 * DEPTH);
            _tile_stored(2, scratch + SIDE * DEPTH, 4 * DEPTH);
            _tile_stored(3, scratch + SIDE * DEPTH + SIDE, 4 * DEPTH);
            const int wide = columns - column < SIDE ? columns - column : SIDE;
            for (int row = 0; row < high; row++)
                for (int i = 0; i < wide; i++)
                    for (int half = 0; half < DEPTH; half += LANES) {
                        const int channel = out + half;
                        long pixel = (long)(column + i) * FEATURES + channel;
                        long at = row * stride + pixel, bare = row * how->addend_stride + pixel;
                        Vector sum = OF(scratch + (row * SIDE + i) * DEPTH + half);
                        store(to + top + stride + FEATURES + at,
                              finished(sum, &here, channel, at, bare));
                    }
        }
}

/* One channel vector of `row`'s pixels `pixel` and the next, in pairs; zero from `pixels` on. */
INLINE __m512i paired(const Number *row, int pixel, int pixels)
{
    __m512i pair[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    UNROLL for (int i = 0; i < 2; i++) if (pixel + i < pixels) pair[i] = _mm512_cvtepu16_epi32(
        _mm256_loadu_si256((const __m256i *)(row + (long)(pixel + i) * FEATURES)));
    return _mm512_or_si512(pair[0], _mm512_slli_epi32(pair[1], 16));
}

/* Row i, number j of sixteen vectors of sixteen numbers becomes row j, number i. */
INLINE void transpose(__m512i *x)
{
    __m512i y[16];
    UNROLL for (int i = 0; i < 16; i += 2)
    {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4) UNROLL for (int j = 0; j < 2; j++)
    {
        x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
        x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
    }
    UNROLL for (int i = 0; i < 16; i += 8) UNROLL for (int j = 0; j < 4; j++)
    {
        y[i + j] = _mm512_shuffle_i32x4(x[i + j], x[i + j + 4], 0x88);
        y[i + j + 4] = _mm512_shuffle_i32x4(x[i + j], x[i + j + 4], 0xdd);
    }
    UNROLL for (int j = 0; j < 8; j++)
    {
        x[j] = _mm512_shuffle_i32x4(y[j], y[j + 8], 0x88);
        x[j + 8] = _mm512_shuffle_i32x4(y[j], y[j + 8], 0xdd);
    }
}

/* A row of pixels as (channel, pixel), and zeros up to the second behind its last tile. */
static void turn_row(const Number *row, int pixels, Number *to)
{
    for (int channel = 0; channel < FEATURES; channel += SIDE) {
        Number *at = to + channel * TURNED;
        int pixel = 0;
        for (; pixel < pixels; pixel += DEPTH) {
            __m512i pairs[SIDE];
            UNROLL for (int i = 0; i < SIDE; i++)
                pairs[i] = paired(row + channel, pixel + 2 * i, pixels);
            transpose(pairs);
            UNROLL for (int i = 0; i < SIDE; i++)
                _mm512_storeu_si512(at + i * TURNED + pixel, pairs[i]);
        }
        for (int i = 0; i < SIDE; i++) memset(at + i * TURNED + pixel, 0, 2 * sizeof *at);
    }
}

/* A row of pixels as (pair, channel, 2), zero behind them; adds their sum to `total` (FEATURES). */
static void pair_row(const Number *row, int pixels, int pairs, Number *to, float *total)
{
    for (int channel = 0; channel < FEATURES; channel += SIDE) {
        Vector sum = OF(total + channel);
        for (int pair = 0; pair < pairs; pair++) {
            __m512i both = paired(row + channel, 2 * pair, pixels);
            _mm512_storeu_si512(to + 2 * ((long)pair * FEATURES + channel), both);
            sum += (Vector)_mm512_slli_epi32(both, 16);
            sum += (Vector)_mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000));
        }
        AT(total + channel) = sum;
    }
}

/* Add the part of pixel rows 2 * `tile_row` and the next of the gradient to `of_weight` (tap, in,
 * out) and `of_bias` (out). */
static void convolve_row_gradient(const Number *image, const Number *gradient, int tile_row,
                                  int columns, long stride, float *of_weight, float *of_bias,
                                  float *scratch)
{
    const int parts = (columns + ROW_PIXELS - 1) / ROW_PIXELS;
    for (int part = 0; part < parts; part++) {
        const int first = (int)((long)columns * part / parts);
        const int pixels = (int)((long)columns * (part + 1) / parts) - first;
        const int tiles = (pixels + DEPTH - 1) / DEPTH;
        const long corner = 2 * tile_row * stride + (long)first * FEATURES;
        const long turned_row = (long)FEATURES * TURNED;
        const long paired_row = (long)FEATURES * DEPTH * tiles;
        Number *turned = (Number *)scratch, *pairs = turned + 4 * turned_row;
        for (int row = 0; row < 4; row++)
            turn_row(image + corner + row * stride, pixels + 2, turned + row * turned_row);
        for (int row = 0; row < 2; row++)
            pair_row(gradient + corner + (row + 1) * stride + FEATURES, pixels, tiles * SIDE,
                     pairs + row * paired_row, of_bias);
        STORED;
        for (int tap = 0; tap < TAPS; tap++)
            for (int in = 0; in < FEATURES; in += DEPTH)
                for (int out = 0; out < FEATURES; out += DEPTH) {
                    float *to = of_weight + tap * SQUARE + in * FEATURES + out;
                    const long width = 4L * FEATURES;
                    _tile_loadd(0, to, width);
                    _tile_loadd(1, to + SIDE, width);
                    _tile_loadd(2, to + SIDE * FEATURES, width);
                    _tile_loadd(3, to + SIDE * FEATURES + SIDE, width);
                    for (int row = 0; row < 2; row++)
                        for (int tile = 0; tile < tiles; tile++) {
                            const Number *a = turned + (row + tap / 3) * turned_row + in * TURNED +
                                              tile * DEPTH + tap % 3;
                            const Number *b = pairs + row * paired_row +
                                              2 * ((long)tile * SIDE * FEATURES + out);
                            ADD_PRODUCTS(a, a + SIDE * TURNED, 2L * TURNED, b)
                        }
                    _tile_stored(0, to, width);
                    _tile_stored(1, to + SIDE, width);
                    _tile_stored(2, to + SIDE * FEATURES, width);
                    _tile_stored(3, to + SIDE * FEATURES + SIDE, width);
                }
    }
}

#endif
