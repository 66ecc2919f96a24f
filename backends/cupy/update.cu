// Written by lookahead_ref from an update rule; safe to delete.
typedef ${scalar} scalar;

static __device__ scalar maximum(scalar a, scalar b) { return a > b || a != a ? a : b; }
static __device__ scalar minimum(scalar a, scalar b) { return a < b || a != a ? a : b; }
static __device__ scalar sign(scalar a) {
    return a != a ? a : scalar(a > 0) - scalar(a < 0);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 700
#define __grid_constant__
#endif

// As many elements as one instruction loads.
template <int WIDTH> struct alignas(WIDTH * sizeof(scalar)) Pack {
    scalar lane[WIDTH];
};

struct Table {
    unsigned long long address[${arrays}][${buffers}];
    long long length[${arrays}];
    ${scalars}
    int first_tile[${arrays}];
    int arrays;
};
static_assert(sizeof(Table) == ${bytes}, "not laid out as the host fills it");

template <int WIDTH>
__device__ __forceinline__ void update_tile(
    const Table &table, int array, long long start, long long stop)
{
    ${addresses}
#pragma unroll 1
    for (long long place = start + (long long)threadIdx.x * WIDTH; place < stop;
         place += ${threads} * WIDTH) {
        ${loads}
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            ${elements}
        }
        ${stores}
    }
}

extern "C" __global__ void __launch_bounds__(${threads})
${entry}(const __grid_constant__ Table table)
{
    // The last array whose first tile is not past this one.
    const int tile = (int)blockIdx.x;
    int array = 0;
    for (int past = table.arrays; past - array > 1;) {
        const int middle = (array + past) / 2;
        if (table.first_tile[middle] <= tile)
            array = middle;
        else
            past = middle;
    }
    const long long start = (long long)(tile - table.first_tile[array]) * ${tile};
    const long long length = table.length[array];
    const long long stop = length - start < ${tile} ? length : start + ${tile};

    constexpr int wide = 16 / sizeof(scalar);
    const unsigned long long together = ${together};
    if (together % 16 == 0 && (stop - start) % wide == 0)
        update_tile<wide>(table, array, start, stop);
    else
        update_tile<1>(table, array, start, stop);
}
