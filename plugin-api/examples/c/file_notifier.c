/*
 * A complete Couic plugin in C: appends every notification to a file, one JSON object per line.
 *
 *   cc -std=c11 -Wall -Wextra -shared -fPIC -O2 -I plugin-api/include -o file.so plugin-api/examples/c/file_notifier.c
 *   couic-plugin send ./file.so '{"path":"/tmp/notifications"}'
 *
 * In the configuration file: config = { path = "/var/log/couic-notifications" }. notify blocks while it writes, so neither COUIC_F_ASYNC nor
 * COUIC_F_CONCURRENT is set: the host then waits for one write before it asks for the next.
 */
#define _POSIX_C_SOURCE 200809L
#include <couic_notifier.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct instance {
  couic_host host; /* a copy: the host's own is only lent to create */
  int fd;
};

static int32_t fail(couic_errbuf *err, int32_t status, const char *why) {
  size_t len = strlen(why);
  if (err != NULL && err->ptr != NULL) {
    err->len = len < err->cap ? len : err->cap;
    memcpy(err->ptr, why, err->len);
  }
  return status;
}

static int32_t create(const couic_host *host, couic_slice config, void **out, couic_errbuf *err) {
  /* The host sends JSON without spaces. A plugin with more than one key uses a parser. */
  static const char head[] = "{\"path\":\"/", tail[] = "\"}";
  const size_t before = sizeof head - 2, after = sizeof tail - 1; /* the slash belongs to the path */
  char path[4096];
  if (config.len < sizeof head + after || config.len >= sizeof path || memcmp(config.ptr, head, sizeof head - 1) != 0 ||
      memcmp(config.ptr + config.len - after, tail, after) != 0 || memchr(config.ptr, '\\', config.len) != NULL ||
      memchr(config.ptr + before, '"', config.len - before - after) != NULL)
    return fail(err, COUIC_BAD_CONFIG, "config: give the absolute path of a file as path, and no other key");
  size_t len = config.len - before - after;
  memcpy(path, config.ptr + before, len);
  path[len] = '\0';
  struct instance *self = malloc(sizeof *self);
  if (self == NULL) return fail(err, COUIC_RETRY, "out of memory");
  self->host = *host;
  self->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (self->fd < 0) {
    free(self);
    return fail(err, COUIC_BAD_CONFIG, "config: the file cannot be opened for writing");
  }
  *out = self;
  return COUIC_OK;
}

static int32_t notify(void *handle, const couic_request *req) {
  struct instance *self = handle;
  couic_result res = { .struct_size = sizeof res, .status = COUIC_OK };
  char *line = malloc(req->event.len + 1);
  if (line == NULL) return COUIC_RETRY; /* not accepted: no done */
  memcpy(line, req->event.ptr, req->event.len);
  line[req->event.len] = '\n';
  /* One write, so that lines stay whole. */
  if (write(self->fd, line, req->event.len + 1) != (ssize_t)(req->event.len + 1)) {
    const char *why = strerror(errno);
    res.status = COUIC_RETRY;
    res.message = (couic_slice){ (const uint8_t *)why, strlen(why) };
  }
  free(line);
  self->host.done(self->host.ctx, req->token, &res); /* exactly once for every accepted request */
  return COUIC_OK;
}

static void destroy(void *handle) {
  struct instance *self = handle;
  close(self->fd);
  free(self);
}

COUIC_EXPORT(COUIC_F_UNWIND) = {
  COUIC_HEAD(COUIC_F_UNWIND), "file", "1.0", "example", "{\"type\":\"object\"}", create, notify, NULL, destroy,
};
