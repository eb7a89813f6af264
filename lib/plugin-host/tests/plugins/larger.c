/* Built with a header of a later minor: its descriptor has two more members, and its result is longer. */
#include <couic_notifier.h>

typedef struct {
  couic_notifier base;
  void (*later)(void);
  uint64_t more;
} couic_notifier_1_7;

static couic_host host;

static int32_t create(const couic_host *h, couic_slice config, void **out, couic_errbuf *err) {
  (void)config; (void)err;
  host = *h;
  *out = &host;
  return COUIC_OK;
}

static int32_t notify(void *handle, const couic_request *req) {
  (void)handle;
  struct { couic_result base; uint64_t more[4]; } res = { { 72, COUIC_OK, 1500, 204, 0, { 0, 0 } }, { 1, 2, 3, 4 } };
  host.done(host.ctx, req->token, &res.base);
  return COUIC_OK;
}

static void destroy(void *handle) { (void)handle; }

#define HEAD_1_7 { {'C', 'O', 'U', 'I', 'C', 'N', 'T', 'F'}, 1, 7, 0, 0, sizeof(couic_notifier_1_7), COUIC_F_UNWIND }
__attribute__((used, section(".note.couic"), aligned(4))) static const struct {
  uint32_t n, d, t; char nm[8]; couic_head h;
} note = { 6, 24, 1, "COUIC", HEAD_1_7 };
__attribute__((visibility("default"))) const couic_notifier_1_7 plugin __asm__("couic_notifier_plugin") = {
  { HEAD_1_7, "larger", "1.7", "", "", create, notify, 0, destroy }, 0, 42,
};
