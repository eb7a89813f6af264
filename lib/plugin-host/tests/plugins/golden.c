/*
 * The source of tests/golden/couic_notifier_1_0_x86_64.so, which every later host must load. Do not rebuild it: the file
 * is the reference for plugins of ABI 1.0. It was built with
 *   cc -std=c11 -Os -s -shared -fPIC -nostdlib -Wl,-z,noseparate-code -I plugin-api/include -o couic_notifier_1_0_x86_64.so golden.c
 */
#include <couic_notifier.h>

static couic_host host;
static int handle;

static int32_t create(const couic_host *h, couic_slice config, void **out, couic_errbuf *err) {
  if (config.len != 2) {
    if (err->cap < 3) return COUIC_PERMANENT;
    err->ptr[0] = 'b'; err->ptr[1] = 'a'; err->ptr[2] = 'd'; err->len = 3;
    return COUIC_BAD_CONFIG;
  }
  if (h->struct_size < 32 || h->abi_major != 1) return COUIC_PERMANENT;
  host.ctx = h->ctx;
  host.done = h->done;
  h->log(h->ctx, COUIC_LOG_INFO, config);
  *out = &handle;
  return COUIC_OK;
}

static int32_t notify(void *self, const couic_request *req) {
  couic_result res;
  if (self != &handle || req->struct_size < 40) return COUIC_PERMANENT;
  res.struct_size = sizeof res;
  res.status = COUIC_RATE_LIMITED;
  res.retry_after_ms = 1000u * req->attempt;
  res.http_status = 429;
  res.reserved = 0;
  /* Gives the event back. */
  res.message = req->event;
  host.done(host.ctx, req->token, &res);
  return COUIC_OK;
}

static void destroy(void *self) { (void)self; }

COUIC_EXPORT(COUIC_F_UNWIND) = {
  COUIC_HEAD(COUIC_F_UNWIND), "golden", "1.0", "abi 1.0", "{}", create, notify, 0, destroy,
};
