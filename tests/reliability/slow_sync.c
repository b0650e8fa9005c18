/* A disk whose every sync takes half a second, for one process: loaded before the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int slow(const char *name, int file) {
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct timespec left = {0, 500 * 1000 * 1000};
  while (nanosleep(&left, &left) != 0) {
  }
  return sync(file);
}

int fsync(int file) { return slow("fsync", file); }
int fdatasync(int file) { return slow("fdatasync", file); }
