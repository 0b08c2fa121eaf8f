// In the place of a header that torch's wheels leave out: words that mean something to nvcc alone.
#pragma once
#define __no_return__
#define __align__(n) __attribute__((aligned(n)))
#define __import__
#define __export__
#define __cdecl
#define __annotate__(a)
#define __location__(a)
#define CUDARTAPI
#define CUDARTAPI_CDECL
#define __host__
#define __device__
#define __global__
#define __shared__
#define __constant__
#define __managed__
#define __device_builtin__
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __cudart_builtin__
#define __specialization_static
#define __builtin_align__(a) __align__(a)
#define __CUDA_ARCH_HAS_FEATURE__(x) 0
