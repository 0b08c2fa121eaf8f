// The properties of the pretended device, whose layout is in CUDA's header: of an H100, as far as torch reads them.
#include <cuda_runtime_api.h>
#include <string.h>
#undef cudaGetDeviceProperties

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *found, int device) {
    memset(found, 0, sizeof *found);
    strcpy(found->name, "pretended");
    found->major = 9;
    found->totalGlobalMem = 80ull << 30;
    found->multiProcessorCount = 132;
    found->warpSize = 32;
    found->maxThreadsPerBlock = 1024;
    found->maxThreadsPerMultiProcessor = 2048;
    found->sharedMemPerBlock = 49152;
    found->sharedMemPerBlockOptin = 232448;
    found->regsPerMultiprocessor = 65536;
    return 0;
}

cudaError_t cudaGetDeviceProperties_v2(struct cudaDeviceProp *found, int device) {
    return cudaGetDeviceProperties(found, device);
}
