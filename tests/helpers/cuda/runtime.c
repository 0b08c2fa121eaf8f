// A CUDA runtime that pretends one device: its memory is the host's, streams and events are nothing, no kernel runs.
// Only the struct of a device's properties needs CUDA's own header (properties.c).
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_OF_MEMORY 2
#define NOT_LAUNCHED 719
#define NOTHING(name) int name(void) { return 0; }
#define REFUSED(name) int name(void) { fprintf(stderr, "pretended device: a kernel was launched (" #name ")\n"); return NOT_LAUNCHED; }
#define ZERO(name) int name(int *value) { *value = 0; return 0; }
#define HANDLE(name) int name(void **handle) { *handle = (void *)(next += 16); return 0; }
#define COPY(name) int name(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); return 0; }

static intptr_t next = 16;
static const size_t MEMORY = 80ull << 30;

// the device
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaSetDevice(int device) { return device ? 101 : 0; }
int cudaDriverGetVersion(int *version) { *version = 13020; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13020; return 0; }
int cudaDeviceGetAttribute(int *value, int attribute) { *value = attribute == 75 ? 9 : 0; return 0; }  // 75: major
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return 0; }
int cudaDeviceGetPCIBusId(char *text) { strcpy(text, "0000:00:00.0"); return 0; }
int cudaMemGetInfo(size_t *unused, size_t *total) {
    const char *set = getenv("PRETENDED_FREE");
    *total = MEMORY;
    *unused = set ? strtoull(set, 0, 10) : MEMORY;
    return 0;
}
ZERO(cudaGetDevice) ZERO(cudaGetDeviceFlags) ZERO(cudaDeviceCanAccessPeer)
NOTHING(cudaGetLastError) NOTHING(cudaPeekAtLastError) NOTHING(cudaDeviceSynchronize) NOTHING(cudaInitDevice)
NOTHING(cudaDeviceGetDefaultMemPool) NOTHING(cudaDeviceGetMemPool) NOTHING(cudaSetDeviceFlags) NOTHING(cudaDeviceReset)
NOTHING(cudaProfilerStart) NOTHING(cudaProfilerStop) NOTHING(cudaMemPoolSetAttribute) NOTHING(cudaMemPoolGetAttribute)
NOTHING(cudaMemPoolTrimTo) NOTHING(cudaMemPoolSetAccess) NOTHING(cudaCtxResetPersistingL2Cache)
const char *cudaGetErrorString(int error) { return "of a pretended device"; }
const char *cudaGetErrorName(int error) { return "pretended"; }

// memory
int cudaMalloc(void **at, size_t bytes) { return (*at = aligned_alloc(512, (bytes + 511) / 512 * 512)) ? 0 : OUT_OF_MEMORY; }
int cudaMallocAsync(void **at, size_t bytes) { return cudaMalloc(at, bytes); }
int cudaHostAlloc(void **at, size_t bytes) { return cudaMalloc(at, bytes); }
int cudaMallocHost(void **at, size_t bytes) { return cudaMalloc(at, bytes); }
int cudaFree(void *at) { free(at); return 0; }
int cudaFreeAsync(void *at) { free(at); return 0; }
int cudaFreeHost(void *at) { free(at); return 0; }
int cudaHostGetDevicePointer(void **at, void *host) { *at = host; return 0; }
int cudaPointerGetAttributes(void *attributes) { memset(attributes, 0, 24); return 0; }  // unregistered
int cudaMemset(void *at, int value, size_t bytes) { memset(at, value, bytes); return 0; }
int cudaMemsetAsync(void *at, int value, size_t bytes) { memset(at, value, bytes); return 0; }
COPY(cudaMemcpy) COPY(cudaMemcpyAsync)
NOTHING(cudaHostRegister) NOTHING(cudaHostUnregister)

// streams and events
HANDLE(cudaStreamCreate) HANDLE(cudaStreamCreateWithFlags) HANDLE(cudaStreamCreateWithPriority)
HANDLE(cudaEventCreate) HANDLE(cudaEventCreateWithFlags)
NOTHING(cudaStreamDestroy) NOTHING(cudaStreamQuery) NOTHING(cudaStreamSynchronize) NOTHING(cudaStreamWaitEvent)
NOTHING(cudaEventDestroy) NOTHING(cudaEventRecord) NOTHING(cudaEventRecordWithFlags) NOTHING(cudaEventQuery)
NOTHING(cudaEventSynchronize) NOTHING(cudaThreadExchangeStreamCaptureMode)
int cudaEventElapsedTime(float *ms) { *ms = 0; return 0; }
int cudaStreamIsCapturing(void *stream, int *status) { *status = 0; return 0; }
int cudaStreamGetCaptureInfo(void *stream, int *status) { *status = 0; return 0; }
int cudaStreamGetPriority(void *stream, int *priority) { *priority = 0; return 0; }
int cudaStreamGetDevice(void *stream, int *device) { *device = 0; return 0; }
int cudaStreamGetId(void *stream, unsigned long long *id) { *id = (intptr_t)stream; return 0; }
int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *data) { function(data); return 0; }

// kernels
REFUSED(cudaLaunchKernel) REFUSED(cudaLaunchKernelExC) REFUSED(cudaLaunchCooperativeKernel)
NOTHING(cudaFuncSetAttribute) NOTHING(cudaFuncSetCacheConfig) NOTHING(cudaOccupancyMaxActiveBlocksPerMultiprocessor)

// the driver, as far as torch asks it
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "pretended"; return 0; }
int cuCtxGetCurrent(void **context) { *context = (void *)16; return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
static int any(void) { return 0; }
int cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags, int *result) {
    *function = strcmp(name, "cuDevicePrimaryCtxGetState") ? (void *)any : (void *)cuDevicePrimaryCtxGetState;
    if (result) *result = 0;
    return 0;
}
