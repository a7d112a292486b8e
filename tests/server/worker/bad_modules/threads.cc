// Starts a thread while it is loaded.
#include <prefork/native.h>

#include <chrono>
#include <thread>

namespace {

std::thread MakeThread() {
  return std::thread([] { std::this_thread::sleep_for(std::chrono::hours(1)); });
}
// Never destroyed: the thread outlives main.
const std::thread* const kThread = new std::thread(MakeThread());

}  // namespace

PREFORK_FUNCTION("noop", "", [](prefork::native::Task&) {
  return kThread != nullptr ? prefork::native::Result::Ok() : prefork::native::Result::Error("");
})
