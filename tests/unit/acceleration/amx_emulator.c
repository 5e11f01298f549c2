/* AMX simulated for tests, on processors without it: a handler of SIGILL that decodes the
 * instructions of amx.h, does what Intel's manual says of them (Intel 64 and IA-32 Architectures
 * Software Developer's Manual, volume 2), and goes on behind them. So the very code that a processor
 * with AMX runs is tested, a hundred times slower. What the manual forbids ends the process.
 */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define TILES 8

typedef union {
    uint8_t bytes[16][64];
    uint16_t halves[16][32];
    float numbers[16][16];
} Tile;

static _Thread_local struct {
    int configured, rows[TILES], bytes[TILES];
    Tile tile[TILES];
} state;

static long emulated;
static struct sigaction before;

/* The instructions emulated so far. */
long amx_emulated(void) { return emulated; }

static void forbidden(const char *what)
{
    static const char start[] = "amx_emulator: ";
    if (write(2, start, sizeof start - 1) < 0 || write(2, what, strlen(what)) < 0 ||
        write(2, "\n", 1) < 0)
        _exit(2);
    signal(SIGILL, SIG_DFL);
    abort();
}

static void require(int holds, const char *what)
{
    if (!holds)
        forbidden(what);
}

/* Denormal numbers are zero. */
static float normal(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }

static float widened(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return normal(x);
}

static void multiply(int to, int a, int b)
{
    require(to != a && to != b && a != b, "one tile is used twice");
    const int rows = state.rows[to], columns = state.bytes[to] / 4, pairs = state.bytes[a] / 4;
    require(state.rows[a] == rows && state.rows[b] == pairs && state.bytes[b] == state.bytes[to],
            "sizes of tiles do not fit");
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < columns; n++) {
            float sum[2] = {0, 0};
            for (int k = 0; k < pairs; k++)
                for (int i = 0; i < 2; i++)
                    sum[i] = normal(fmaf(widened(state.tile[a].halves[m][2 * k + i]),
                                         widened(state.tile[b].halves[k][2 * n + i]), sum[i]));
            float *number = &state.tile[to].numbers[m][n];
            *number = normal(normal(*number) + normal(sum[0] + sum[1]));
        }
}

static void configure(const uint8_t *from)
{
    memset(&state, 0, sizeof state);
    require(from[0] == 1 && from[1] == 0, "palette or start row");
    for (int i = 2; i < 64; i++)
        if (i < 16 || (i >= 32 && i < 48) || i >= 56)
            require(from[i] == 0, "reserved bytes of a configuration are not zero");
    for (int t = 0; t < TILES; t++) {
        state.bytes[t] = from[16 + 2 * t] | from[17 + 2 * t] << 8;
        state.rows[t] = from[48 + t];
        require(state.bytes[t] <= 64 && state.rows[t] <= 16, "tile too large");
    }
    state.configured = 1;
}

static int usable(int tile)
{
    require(state.configured && state.rows[tile] && state.bytes[tile], "tile not configured");
    return tile;
}

static greg_t value(const ucontext_t *context, int number)
{
    static const int names[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15};
    return context->uc_mcontext.gregs[names[number]];
}

static void handle(int signal_number, siginfo_t *info, void *given)
{
    (void)signal_number, (void)info;
    ucontext_t *context = given;
    greg_t *next = &context->uc_mcontext.gregs[REG_RIP];
    const uint8_t *at = (const uint8_t *)*next;
    const int index_high = (~at[1] >> 6 & 1) << 3, base_high = (~at[1] >> 5 & 1) << 3;
    require(at[0] == 0xc4 && (at[1] & 0x1f) == 2 && !(at[2] & 0x84), "not an instruction of AMX");
    const int prefix = at[2] & 3, opcode = at[3], modrm = at[4];
    const int third = ~(at[2] >> 3) & 15, mode = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7;
    at += 5;
    /* The memory that is meant, where it is memory. */
    intptr_t base = 0, stride = 0;
    if (mode != 3) {
        int number = rm;
        const int sib = rm == 4 ? *at++ : -1;
        if (sib >= 0) {
            const int index = (sib >> 3 & 7) | index_high;
            number = sib & 7;
            if (index != 4)
                stride = value(context, index) << (sib >> 6);
        }
        const int absent = mode == 0 && number == 5;
        if (!absent)
            base = value(context, number | base_high);
        int32_t far = 0;
        if (mode == 1)
            far = (int8_t)*at++;
        else if (mode == 2 || absent)
            memcpy(&far, at, 4), at += 4;
        base += far;
        if (absent && sib < 0)
            base += (intptr_t)at; /* from the next instruction */
    }
    enum { NONE, X66, XF3, XF2 };
    if (opcode == 0x49 && prefix == NONE && mode == 3)
        memset(&state, 0, sizeof state);
    else if (opcode == 0x49 && prefix == NONE)
        configure((const uint8_t *)(base + stride));
    else if (opcode == 0x49 && prefix == XF2 && mode == 3)
        memset(&state.tile[usable(reg)], 0, sizeof(Tile));
    else if (opcode == 0x4b && prefix == XF2 && mode != 3) {
        memset(&state.tile[usable(reg)], 0, sizeof(Tile));
        for (int row = 0; row < state.rows[reg]; row++)
            memcpy(state.tile[reg].bytes[row], (void *)(base + row * stride), state.bytes[reg]);
    } else if (opcode == 0x4b && prefix == XF3 && mode != 3) {
        usable(reg);
        for (int row = 0; row < state.rows[reg]; row++)
            memcpy((void *)(base + row * stride), state.tile[reg].bytes[row], state.bytes[reg]);
    } else if (opcode == 0x5c && prefix == XF3 && mode == 3)
        multiply(usable(reg), usable(rm), usable(third));
    else
        forbidden("an instruction that is not simulated");
    __atomic_add_fetch(&emulated, 1, __ATOMIC_RELAXED);
    *next = (greg_t)at;
}

/* Simulate AMX in this process from now on; 0 if that can be. */
int amx_emulate(void)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGILL, &action, &before);
}

/* Do so no longer. */
void amx_stop(void) { sigaction(SIGILL, &before, NULL); }
