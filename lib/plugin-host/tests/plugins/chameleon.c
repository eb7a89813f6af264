/* Misbehaves on request: of its configuration while it is created, of the source of a notification afterwards. */
#define _GNU_SOURCE
#include <couic_notifier.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FLAGS
#define FLAGS (COUIC_F_UNWIND | COUIC_F_CONCURRENT | COUIC_F_ASYNC)
#endif

struct instance {
  couic_host host;
  uint64_t last, late;
};

/* CTOR is the path of a file that appears when code of this library runs. */
#ifdef CTOR
__attribute__((constructor)) static void ran(void) { fclose(fopen(CTOR, "w")); }
#endif

static int is(couic_slice text, const char *key, const char *word) {
  char want[128];
  snprintf(want, sizeof want, "\"%s\":\"%s\"", key, word);
  return memmem(text.ptr, text.len, want, strlen(want)) != NULL;
}

static couic_slice slice(const char *text) { return (couic_slice){ (const uint8_t *)text, strlen(text) }; }

static int32_t create(const couic_host *host, couic_slice config, void **out, couic_errbuf *err) {
  if (is(config, "create", "fail")) {
    err->len = (size_t)snprintf((char *)err->ptr, err->cap, "url: no\033[31m such host");
    return COUIC_BAD_CONFIG;
  }
  if (is(config, "create", "huge")) { memset(err->ptr, 0xff, err->cap); err->len = SIZE_MAX; return 99; }
  if (is(config, "create", "null")) return COUIC_OK;
  if (is(config, "create", "hang")) for (;;) pause();
  if (is(config, "create", "segv")) *(volatile int *)8 = 1;
  if (is(config, "create", "print")) { puts("{\"Started\":"); fflush(stdout); fputs("printed", stderr); }
  if (is(config, "create", "slow")) usleep(300 * 1000);
  struct instance *self = calloc(1, sizeof *self);
  self->host = *host;
  *out = self;
  host->log(host->ctx, COUIC_LOG_INFO, slice("created"));
  return COUIC_OK;
}

static void done(struct instance *self, uint64_t token, int32_t status, couic_slice message) {
  couic_result res = { .struct_size = sizeof res, .status = status, .message = message };
  self->host.done(self->host.ctx, token, &res);
}

struct later { struct instance *self; uint64_t token; useconds_t wait; };

static void *thread(void *arg) {
  struct later *later = arg;
  usleep(later->wait);
  done(later->self, later->token, COUIC_OK, slice(""));
  free(later);
  return NULL;
}

static void after(struct instance *self, uint64_t token, useconds_t wait) {
  struct later *later = malloc(sizeof *later);
  *later = (struct later){ self, token, wait };
  pthread_t id;
  pthread_create(&id, NULL, thread, later);
  pthread_detach(id);
}

/* Environment, credentials and descriptors of this process, for the tests of isolation. */
static void tell(struct instance *self, uint64_t token) {
  char text[4096], line[512];
  size_t len = (size_t)snprintf(text, sizeof text, "env:");
  for (char **e = environ; *e; e++) len += (size_t)snprintf(text + len, sizeof text - len, "%s,", *e);
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status))
    if (!strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3) || !strncmp(line, "Groups", 6) ||
        !strncmp(line, "CapInh", 6) || !strncmp(line, "CapEff", 6) || !strncmp(line, "CapPrm", 6) || !strncmp(line, "NoNewPrivs", 10))
      len += (size_t)snprintf(text + len, sizeof text - len, " %s", line);
  len += (size_t)snprintf(text + len, sizeof text - len, " fds:");
  for (int fd = 0; fd < 256; fd++) {
    char link[64], target[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, target, sizeof target);
    if (n > 0) len += (size_t)snprintf(text + len, sizeof text - len, "%d=%.*s,", fd, (int)n, target);
  }
  done(self, token, COUIC_PERMANENT, (couic_slice){ (uint8_t *)text, len });
}

static int32_t wrong(struct instance *self, const couic_request *req) {
  couic_slice event = req->event;
  couic_result res = { .struct_size = sizeof res, .status = COUIC_OK };
  void *ctx = self->host.ctx;
  if (is(event, "source", "twice")) {
    done(self, req->token, COUIC_OK, slice(""));
    done(self, req->token, COUIC_RETRY, slice("again"));
  } else if (is(event, "source", "invented")) {
    done(self, req->token + 1000, COUIC_OK, slice(""));
    self->host.done((void *)(uintptr_t)0xdead0000u, req->token, &res);
    self->host.done(NULL, req->token, &res);
    self->host.log((void *)(uintptr_t)0xdead0000u, 1, slice("nobody"));
    done(self, req->token, COUIC_OK, slice(""));
  } else if (is(event, "source", "nullresult")) {
    self->host.done(ctx, req->token, NULL);
  } else if (is(event, "source", "short")) {
    res.struct_size = 12;
    self->host.done(ctx, req->token, &res);
  } else if (is(event, "source", "nullmessage")) {
    done(self, req->token, COUIC_PERMANENT, (couic_slice){ NULL, 77 });
  } else if (is(event, "source", "utf8")) {
    done(self, req->token, COUIC_PERMANENT, slice("bad \xff\xfe bytes"));
  } else if (is(event, "source", "status")) {
    done(self, req->token, 4711, slice("from the future"));
  } else if (is(event, "source", "negative")) {
    done(self, req->token, -1, slice("pretends that it crashed"));
  } else if (is(event, "source", "busy")) {
    return COUIC_BUSY;
  } else {
    return -1;
  }
  return COUIC_OK;
}

static int32_t notify(void *handle, const couic_request *req) {
  struct instance *self = handle;
  couic_slice event = req->event;
  self->last = req->token;
  int32_t status = wrong(self, req);
  if (status >= 0) return status;
  if (is(event, "source", "never")) return COUIC_OK;
  if (is(event, "source", "block")) for (;;) pause();
  if (is(event, "source", "late")) { self->late = req->token; return COUIC_OK; }
  if (is(event, "source", "release")) {
    done(self, self->late, COUIC_OK, slice(""));
    done(self, req->token, COUIC_OK, slice(""));
    return COUIC_OK;
  }
  if (is(event, "source", "thread")) { after(self, req->token, 1000); return COUIC_OK; }
  if (is(event, "source", "segv")) { fputs("about to crash\n", stderr); *(volatile int *)8 = 1; }
  if (is(event, "source", "abort")) abort();
  if (is(event, "source", "exit")) exit(0);
  if (is(event, "source", "fork")) {
    pid_t child = fork();
    int forked = child < 0 ? errno : 0;
    if (child == 0) { setsid(); for (;;) pause(); }
    int ran = system("true") == 0;
    int sent = kill(getppid(), 0) < 0 ? errno : 0;
    int owned = fcntl(1, F_SETOWN, getppid()) < 0 ? errno : 0;
    char text[128];
    snprintf(text, sizeof text, "fork %d, ran %d, kill %d, F_SETOWN %d", forked, ran, sent, owned);
    done(self, req->token, COUIC_PERMANENT, slice(text));
    return COUIC_OK;
  }
  if (is(event, "source", "eat")) for (;;) memset(malloc(1 << 20), 1, 1 << 20);
  if (is(event, "source", "tell")) { tell(self, req->token); return COUIC_OK; }
  if (is(event, "source", "pid")) {
    char text[32];
    snprintf(text, sizeof text, "%d", (int)getpid());
    done(self, req->token, COUIC_PERMANENT, slice(text));
    return COUIC_OK;
  }
  if (is(event, "source", "attempt")) {
    char text[64];
    snprintf(text, sizeof text, "%u of %llu ms", req->attempt, (unsigned long long)req->timeout_ms);
    done(self, req->token, COUIC_RETRY, slice(text));
    return COUIC_OK;
  }
  if (is(event, "source", "chatty"))
    for (int i = 0; i < 100000; i++) self->host.log(self->host.ctx, COUIC_LOG_INFO, slice("bla bla"));
  done(self, req->token, COUIC_OK, slice(""));
  return COUIC_OK;
}

static void cancel(void *handle, uint64_t token) {
  struct instance *self = handle;
  (void)token;
#ifdef CANCELS
  done(self, token, COUIC_CANCELLED, slice(""));
#else
  (void)self;
#endif
}

static void destroy(void *handle) { free(handle); }

#if defined BARE
/* The symbol without the note. */
__attribute__((visibility("default"))) const couic_notifier couic_notifier_plugin
#elif defined NOTE_ONLY
/* The note without the symbol. */
COUIC_EXPORT(FLAGS);
#elif defined CUSTOM_HEAD
__attribute__((used, section(".note.couic"), aligned(4))) static const struct {
  uint32_t n, d, t; char nm[8]; couic_head h;
} note = { 6, 24, 1, "COUIC", CUSTOM_HEAD };
__attribute__((visibility("default"))) const couic_notifier couic_notifier_plugin
#else
COUIC_EXPORT(FLAGS)
#endif
#ifndef NOTE_ONLY
  = {
#ifdef CUSTOM_HEAD
      CUSTOM_HEAD,
#else
      COUIC_HEAD(FLAGS),
#endif
      "chameleon", "0.1", "", "", create, notify, cancel, destroy,
    };
#endif
