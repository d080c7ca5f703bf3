// MPI as functions. MPI_COMM_WORLD and the types are pointers behind casts in Open MPI and integers
// in MPICH, so Swift sees none of them. What to link comes from pkg-config, for either library.
#include <mpi.h>

// In a struct of its own, since it is a pointer in one library and a number in another.
typedef struct {
    MPI_Request handle;
} cmpi_request;

// The text of a version has room for that of any library: it is read before it is known which one
// this is.
enum { CMPI_NAME_BYTES = MPI_MAX_PROCESSOR_NAME, CMPI_VERSION_BYTES = 16384 };

// 0 for success here and below. `level` is set to 1 where threads may take turns in calling.
static inline int cmpi_start(int *level) {
    int provided = 0;
    int status = MPI_Init_thread(0, 0, MPI_THREAD_SERIALIZED, &provided);
    *level = provided >= MPI_THREAD_SERIALIZED;
    return status != MPI_SUCCESS;
}

static inline int cmpi_rank(void) {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

static inline int cmpi_count(void) {
    int count = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    return count;
}

// The ranks of this host.
static inline int cmpi_local_count(void) {
    MPI_Comm local;
    int count = 1;
    if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local) != MPI_SUCCESS) return 1;
    MPI_Comm_size(local, &count);
    MPI_Comm_free(&local);
    return count;
}

static inline int cmpi_host(char name[CMPI_NAME_BYTES]) {
    int length = 0;
    return MPI_Get_processor_name(name, &length) != MPI_SUCCESS;
}

// The library whose header this program was compiled with: what its text begins with.
static inline const char *cmpi_header(void) {
#if defined(OPEN_MPI)
    return "Open MPI";
#elif defined(MPICH_VERSION)
    return "MPICH";
#else
    return "";
#endif
}

// The library that this program is linked with. It may be asked for before anything is begun.
static inline int cmpi_version(char text[CMPI_VERSION_BYTES]) {
    int length = 0;
    return MPI_Get_library_version(text, &length) != MPI_SUCCESS;
}

// `own` of every rank to every rank; at the start, where nobody waits for long.
static inline int cmpi_all(const void *own, int bytes, void *all) {
    return MPI_Allgather(own, bytes, MPI_BYTE, all, bytes, MPI_BYTE, MPI_COMM_WORLD) != MPI_SUCCESS;
}

static inline int cmpi_send(const void *bytes, int count, int rank, int tag, cmpi_request *request) {
    return MPI_Isend(bytes, count, MPI_BYTE, rank, tag, MPI_COMM_WORLD, &request->handle) != MPI_SUCCESS;
}

static inline int cmpi_receive(void *bytes, int count, int rank, int tag, cmpi_request *request) {
    return MPI_Irecv(bytes, count, MPI_BYTE, rank, tag, MPI_COMM_WORLD, &request->handle) != MPI_SUCCESS;
}

// Whether all of them are done.
static inline int cmpi_are_done(int count, cmpi_request *requests) {
    int done = 0;
    MPI_Testall(count, &requests->handle, &done, MPI_STATUSES_IGNORE);
    return done;
}

static inline int cmpi_is_done(cmpi_request *request) {
    int done = 0;
    MPI_Test(&request->handle, &done, MPI_STATUS_IGNORE);
    return done;
}

// The bytes of a message that has come, or -1.
static inline int cmpi_waiting(int rank, int tag) {
    int flag = 0, bytes = 0;
    MPI_Status status;
    MPI_Iprobe(rank, tag, MPI_COMM_WORLD, &flag, &status);
    if (!flag) return -1;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    return bytes;
}

// The same of a message of any rank, which is then in `rank`.
static inline int cmpi_waiting_of_any(int tag, int *rank) {
    int flag = 0, bytes = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &flag, &status);
    if (!flag) return -1;
    *rank = status.MPI_SOURCE;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    return bytes;
}

static inline void cmpi_abort(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static inline void cmpi_finish(void) { MPI_Finalize(); }
