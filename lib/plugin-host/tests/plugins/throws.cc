// Lets an exception escape.
#include <couic_notifier.h>
#include <stdexcept>

static int32_t create(const couic_host *, couic_slice, void **out, couic_errbuf *) {
  static int handle;
  *out = &handle;
  return COUIC_OK;
}

static int32_t notify(void *, const couic_request *) { throw std::runtime_error("nobody catches this"); }

static void destroy(void *) {}

COUIC_EXPORT(COUIC_F_UNWIND) = {
    COUIC_HEAD(COUIC_F_UNWIND), "throws", "1", "", "", create, notify, nullptr, destroy,
};
