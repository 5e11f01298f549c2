/* The convolutions of a cascade, 1 -> FEATURES -> ... -> FEATURES -> 1 channels with ReLU between
 * them, and their gradients: forward and backward over a batch, slice by slice, so that a slice's
 * features stay in the cache from layer to layer.
 *
 * Every thread of a team runs the function that is asked for, on its share of each layer's rows.
 * No sum depends on how many threads there are.
 */
#include "one_channel.h"
#ifdef __AMX_BF16__
#include "amx.h"
#else
#include "winograd.h"
#endif

/* Parts of a slice whose gradients of the weights are summed apart: also the most threads that
 * work on one going backward. */
#define BANDS 16

typedef struct {
    int32_t slices, rows, columns, layers;
    int32_t kept;   /* features of all layers and slices are kept; else those of two layers of a
                     * slice, and behind them those of the middle of all slices */
    int32_t middle; /* a layer, or -1 */
    int (*thread)(void), (*threads)(void);
    void (*barrier)(void);
    const float *const *weights, *const *biases; /* a layer each, as in PyTorch */
    const float *image; /* (slices, rows, columns), framed */
    Number *features; /* kept: (layers - 1, slices, rows, columns, FEATURES), framed, + 17 pixels */
    float *out;     /* (slices, rows, columns) */
    float *scratch; /* of forward_scratch or backward_scratch floats */
    const float *of_out;    /* as image; or NULL */
    const float *of_middle; /* of the middle (slices, rows, columns, FEATURES); or NULL */
    float *const *of_weights, *const *of_biases; /* as weights and biases */
    float *of_image; /* as out; or NULL */
} Cascade;

/* Sums of one band: each layer's gradients, of weights by place or tap and then of biases. */
#define OF_INNER (PLACES * SQUARE + FEATURES)
#define OF_OUTER (TAPS * FEATURES + FEATURES)
#define OF_LAST (OF_OUTER + 1) /* of the last bias too */
#define INNER (cascade->layers - 2L)

typedef struct {
    long stride, plane; /* numbers of a framed row and plane of one channel */
    int tile_rows;
    float *row, *first, *last, *sums;
    Number *u, *gradients;
} Plan;

static long even(int size) { return 2L * ((size + 1) / 2); }

static long sums_of_band(const Cascade *cascade) { return INNER * OF_INNER + OF_OUTER + OF_LAST; }

static long stride_of(const Cascade *cascade) { return even(cascade->columns) + 2; }

static long plane_of(const Cascade *c) { return (even(c->rows) + 2) * stride_of(c); }

/* Floats that hold as many numbers. */
static long floats(long numbers) { return numbers * (long)sizeof(Number) / (long)sizeof(float); }

/* Floats of scratch that cascade_forward asks for. */
long forward_scratch(const Cascade *cascade, int threads)
{
    return 2L * threads * ROW_FLOATS + floats(INNER * PLACES * SQUARE) + 2 * TAPS * FEATURES;
}

/* Floats of scratch that cascade_backward asks for. */
long backward_scratch(const Cascade *cascade, int threads)
{
    return forward_scratch(cascade, threads) + floats(2 * plane_of(cascade) * FEATURES) +
           BANDS * sums_of_band(cascade);
}

static Plan plan(const Cascade *cascade, int thread, int threads)
{
    Plan p = {.stride = stride_of(cascade), .plane = plane_of(cascade)};
    p.tile_rows = (cascade->rows + 1) / 2;
    p.row = cascade->scratch + 2L * thread * ROW_FLOATS;
    p.first = cascade->scratch + 2L * threads * ROW_FLOATS;
    p.last = p.first + TAPS * FEATURES;
    p.u = (Number *)(p.last + TAPS * FEATURES);
    p.gradients = p.u + INNER * PLACES * SQUARE;
    p.sums = (float *)(p.gradients + 2 * p.plane * FEATURES);
    return p;
}

static Number *features_of(const Cascade *cascade, const Plan *p, int layer, int slice)
{
    long number = cascade->kept ? (long)layer * cascade->slices + slice : layer % 2;
    if (!cascade->kept && layer == cascade->middle)
        number = 2L + slice;
    return cascade->features + number * p->plane * FEATURES;
}

/* Zero the frame of these rows of tiles, and what is beyond the image's last row and column. */
static void zero_frame(const Cascade *cascade, const Plan *p, int first, int last, Number *features)
{
    const long row = p->stride * FEATURES, used = (cascade->columns + 1L) * FEATURES;
    if (first == last)
        return;
    const int end = last == p->tile_rows ? 2 * last + 2 : 2 * last + 1;
    for (int r = first == 0 ? 0 : 2 * first + 1; r < end; r++) {
        Number *at = features + r * row;
        if (r == 0 || r > cascade->rows)
            memset(at, 0, row * sizeof *at);
        memset(at, 0, FEATURES * sizeof *at);
        memset(at + used, 0, (row - used) * sizeof *at);
    }
}

static int end_of(const Cascade *c, int last) { return 2 * last < c->rows ? 2 * last : c->rows; }

static void transform_weights(const Cascade *cascade, const Plan *p, int backward, int thread,
                              int threads)
{
    int first = FEATURES * thread / threads, last = FEATURES * (thread + 1) / threads;
    for (int layer = 1; layer <= INNER; layer++)
        transform_weight(cascade->weights[layer], backward, p->u + (layer - 1L) * PLACES * SQUARE,
                         first, last);
    if (thread == 0) {
        by_tap(cascade->weights[0], backward, p->first);
        by_tap(cascade->weights[cascade->layers - 1], backward, p->last);
    }
    cascade->barrier();
}

/* Convolve a batch; every thread of a team calls it. */
void cascade_forward(void *argument)
{
    const Cascade *cascade = argument;
    const int thread = cascade->thread(), threads = cascade->threads();
    const Plan p = plan(cascade, thread, threads);
    const int first = p.tile_rows * thread / threads, last = p.tile_rows * (thread + 1) / threads;
    const int end = end_of(cascade, last), columns = cascade->columns;
    const long row = p.stride * FEATURES;
    begin_products();
    transform_weights(cascade, &p, 0, thread, threads);
    for (int slice = 0; slice < cascade->slices; slice++) {
        const float *plane = cascade->image + slice * p.plane;
        Number *to = features_of(cascade, &p, 0, slice);
        Finish how = {.bias = cascade->biases[0], .rectify = 1};
        for (int r = 2 * first; r < end; r++)
            spread_row(plane + (r + 1) * p.stride + 1, p.first, &how, columns, p.stride,
                       to + (r + 1) * row + FEATURES);
        zero_frame(cascade, &p, first, last, to);
        cascade->barrier();
        for (int layer = 1; layer <= INNER; layer++) {
            const Number *from = to;
            to = features_of(cascade, &p, layer, slice);
            how.bias = cascade->biases[layer];
            for (int tile_row = first; tile_row < last; tile_row++)
                convolve_row(from, p.u + (layer - 1L) * PLACES * SQUARE, &how, tile_row,
                             cascade->rows, columns, row, to, p.row);
            zero_frame(cascade, &p, first, last, to);
            cascade->barrier();
        }
        float *out = cascade->out + (long)slice * cascade->rows * columns;
        for (int r = 2 * first; r < end; r++)
            gather_row(to + (r + 1) * row + FEATURES, p.last, *cascade->biases[cascade->layers - 1],
                       columns, p.stride, out + (long)r * columns);
        if (!cascade->kept)
            cascade->barrier();
    }
    end_products();
}

/* The gradient that comes into a slice from its output and its middle features, in a band. */
static void enter(const Cascade *cascade, const Plan *p, int slice, int layer, int first, int last,
                  Number *to, float *sums)
{
    const long row = p->stride * FEATURES, bare = (long)cascade->columns * FEATURES;
    const float *plane = cascade->of_out ? cascade->of_out + slice * p->plane : NULL;
    const Number *output = features_of(cascade, p, layer, slice);
    for (int r = 2 * first; r < end_of(cascade, last); r++) {
        long at = (r + 1) * row + FEATURES;
        Finish how = {.output = output + at};
        if (layer == cascade->middle && cascade->of_middle)
            how.addend = cascade->of_middle + ((long)slice * cascade->rows + r) * bare;
        if (plane) {
            const float *pixel = plane + (r + 1) * p->stride + 1;
            correlate_row(pixel, output + at, cascade->columns, p->stride, sums,
                          sums + TAPS * FEATURES);
            for (int column = 0; column < cascade->columns; column++)
                sums[OF_LAST - 1] += pixel[column];
            spread_row(pixel, p->last, &how, cascade->columns, p->stride, to + at);
        } else {
            for (long i = 0; i < bare; i += LANES)
                store(to + at + i, relu_gradient(OF(how.addend + i), load(how.output + i)));
        }
    }
    zero_frame(cascade, p, first, last, to);
}

/* The gradients of weights and biases, from the sums of all bands. */
static void collect(const Cascade *cascade, const Plan *p, int number, int thread, int threads)
{
    const long band = sums_of_band(cascade);
    for (int in = FEATURES * thread / threads; in < FEATURES * (thread + 1) / threads; in++)
        for (int layer = 1; layer <= number && layer <= INNER; layer++) {
            const float *from = p->sums + (layer - 1L) * OF_INNER;
            float total[PLACES * FEATURES] = {0};
            for (int b = 0; b < BANDS; b++)
                for (int place = 0; place < PLACES; place++)
                    for (int out = 0; out < FEATURES; out++)
                        total[place * FEATURES + out] +=
                            from[b * band + place * SQUARE + in * FEATURES + out];
            for (int out = 0; out < FEATURES; out++)
                transform_weight_gradient(total + out, FEATURES,
                                          cascade->of_weights[layer] +
                                              (out * FEATURES + in) * TAPS);
            float bias = 0;
            for (int b = 0; b < BANDS; b++) bias += from[b * band + PLACES * SQUARE + in];
            cascade->of_biases[layer][in] = bias;
        }
    if (thread)
        return;
    for (int side = 0; side < 2; side++) {
        if (side && !cascade->of_out)
            continue;
        const float *from = p->sums + INNER * OF_INNER + side * OF_OUTER;
        float total[OF_LAST] = {0};
        for (int b = 0; b < BANDS; b++)
            for (int i = 0; i < (side ? OF_LAST : OF_OUTER); i++) total[i] += from[b * band + i];
        float *to = cascade->of_weights[side ? cascade->layers - 1 : 0];
        for (int channel = 0; channel < FEATURES; channel++)
            for (int tap = 0; tap < TAPS; tap++)
                to[channel * TAPS + tap] =
                    total[(side ? TAPS - 1 - tap : tap) * FEATURES + channel];
        if (side)
            *cascade->of_biases[cascade->layers - 1] = total[OF_LAST - 1];
        else
            memcpy(cascade->of_biases[0], total + TAPS * FEATURES, FEATURES * sizeof(float));
    }
}

/* Gradients of a batch; every thread of a team calls it. */
void cascade_backward(void *argument)
{
    const Cascade *cascade = argument;
    const int thread = cascade->thread(), threads = cascade->threads();
    const Plan p = plan(cascade, thread, threads);
    const int from = BANDS * thread / threads, to = BANDS * (thread + 1) / threads;
    const int top = cascade->of_out ? cascade->layers - 2 : cascade->middle;
    const long row = p.stride * FEATURES, band = sums_of_band(cascade);
    Number *gradients[2] = {p.gradients, p.gradients + p.plane * FEATURES};
    begin_products();
    transform_weights(cascade, &p, 1, thread, threads);
    memset(p.sums + from * band, 0, (to - from) * band * sizeof(float));
#define EACH_BAND                                                                                  \
    for (int b = from; b < to; b++)                                                                \
        for (int first = p.tile_rows * b / BANDS, last = p.tile_rows * (b + 1) / BANDS, once = 1;  \
             once; once = 0)
    for (int slice = 0; slice < cascade->slices; slice++) {
        EACH_BAND
            enter(cascade, &p, slice, top, first, last, gradients[top % 2],
                  p.sums + b * band + INNER * OF_INNER + OF_OUTER);
        cascade->barrier();
        for (int layer = top; layer >= 1; layer--) {
            const Number *image = features_of(cascade, &p, layer - 1, slice);
            const Number *gradient = gradients[layer % 2];
            Finish how = {.output = image + row + FEATURES};
            if (layer - 1 == cascade->middle && cascade->of_middle) {
                how.addend_stride = (long)cascade->columns * FEATURES;
                how.addend = cascade->of_middle + slice * cascade->rows * how.addend_stride;
            }
            EACH_BAND
            {
                float *sums = p.sums + b * band + (layer - 1L) * OF_INNER;
                for (int r = first; r < last; r++) {
                    convolve_row_gradient(image, gradient, r, cascade->columns, row, sums,
                                          sums + PLACES * SQUARE, p.row);
                    convolve_row(gradient, p.u + (layer - 1L) * PLACES * SQUARE, &how, r,
                                 cascade->rows, cascade->columns, row, gradients[(layer - 1) % 2],
                                 p.row);
                }
                zero_frame(cascade, &p, first, last, gradients[(layer - 1) % 2]);
            }
            cascade->barrier();
        }
        EACH_BAND
        {
            float *sums = p.sums + b * band + INNER * OF_INNER;
            for (int r = 2 * first; r < end_of(cascade, last); r++) {
                const Number *gradient = gradients[0] + (r + 1) * row + FEATURES;
                const float *pixel = cascade->image + slice * p.plane + (r + 1) * p.stride + 1;
                correlate_row(pixel, gradient, cascade->columns, p.stride, sums,
                              sums + TAPS * FEATURES);
                if (cascade->of_image)
                    gather_row(gradient, p.first, 0, cascade->columns, p.stride,
                               cascade->of_image +
                                   ((long)slice * cascade->rows + r) * cascade->columns);
            }
        }
        cascade->barrier();
    }
#undef EACH_BAND
    end_products();
    collect(cascade, &p, top, thread, threads);
}
