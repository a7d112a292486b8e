// Runs a fuzz target without libFuzzer, so that ctest can do it under any compiler and sanitizer.
//
//   TARGET [-seconds=N] [-seed=N]   random inputs and mutations of them for N seconds (5)
//   TARGET FILE...                  these inputs, once: to reproduce what was found
//
// Before an input is run it is written to crash-input of the working folder, through a mapping, so
// that it is still there if the target crashes or hangs. The file is removed at a good end.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/os/clock.h"
#include "tests/fuzz/seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMaxInputBytes = 4096;
constexpr size_t kMaxCorpus = 512;
constexpr char kCrashFile[] = "crash-input";
constexpr int64_t kNsPerSecond = 1'000'000'000;

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// Keeps the input that runs in a file, at the price of a copy.
class CrashFile {
 public:
  CrashFile() {
    const int fd = open(kCrashFile, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, kMaxInputBytes) != 0) Fail();
    void* memory = mmap(nullptr, kMaxInputBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) Fail();
    memory_ = static_cast<char*>(memory);
    close(fd);
  }
  ~CrashFile() { unlink(kCrashFile); }
  CrashFile(const CrashFile&) = delete;
  CrashFile& operator=(const CrashFile&) = delete;

  void Keep(const std::string& input) {
    memcpy(memory_, input.data(), input.size());
    memset(memory_ + input.size(), 0, kMaxInputBytes - input.size());
  }

 private:
  [[noreturn]] static void Fail() {
    perror(kCrashFile);
    exit(2);
  }
  char* memory_;
};

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {
    if (prefork::fuzz::Seeds != nullptr) corpus_ = prefork::fuzz::Seeds();
    corpus_.emplace_back();
  }

  std::string Next() {
    std::string input = corpus_[Below(corpus_.size())];
    for (size_t changes = 1 + Below(6); changes > 0; --changes) Change(&input);
    input.resize(std::min(input.size(), kMaxInputBytes));
    // Without coverage nothing tells which input is new, so a random sample is mutated further.
    if (Below(64) == 0) {
      if (corpus_.size() < kMaxCorpus) {
        corpus_.push_back(input);
      } else {
        corpus_[Below(corpus_.size())] = input;
      }
    }
    return input;
  }

 private:
  size_t Below(size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random_);
  }
  char Byte() { return static_cast<char>(random_()); }

  void Change(std::string* input) {
    const size_t place = Below(input->size() + 1);
    const size_t count = std::min(input->size() - place, 1 + Below(16));
    switch (Below(7)) {
      case 0:  // random bytes in between
        for (size_t i = 1 + Below(16); i > 0; --i) input->insert(place, 1, Byte());
        break;
      case 1:
        input->erase(place, count);
        break;
      case 2:
        for (size_t i = 0; i < count; ++i) (*input)[place + i] = Byte();
        break;
      case 3:  // one bit
        if (count > 0) (*input)[place] = static_cast<char>((*input)[place] ^ (1 << Below(8)));
        break;
      case 4: {  // a number at an edge, in one of four widths
        static constexpr uint64_t kEdges[] = {
            0,      1,          0x7f,       0x80,       0xff,         0x7fff,           0x8000,
            0xffff, 0x7fffffff, 0x80000000, 0xffffffff, ~uint64_t{0}, uint64_t{1} << 63};
        const uint64_t edge = kEdges[Below(std::size(kEdges))];
        const size_t width = std::min(size_t{1} << Below(4), input->size() - place);
        memcpy(input->data() + place, &edge, width);
        break;
      }
      case 5:  // a part twice
        input->insert(place, input->substr(Below(input->size() + 1), 1 + Below(64)));
        break;
      default: {  // the end of another one
        const std::string& other = corpus_[Below(corpus_.size())];
        input->resize(place);
        input->append(other, Below(other.size() + 1));
      }
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> corpus_;
};

template <typename Number>
bool ParseFlag(absl::string_view argument, absl::string_view name, Number* value) {
  return absl::ConsumePrefix(&argument, name) && absl::SimpleAtoi(argument, value);
}

int RunFiles(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
      perror(file.c_str());
      return 2;
    }
    Run({std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()});
    printf("%s: fine\n", file.c_str());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int64_t seconds = 5;
  uint64_t seed = std::random_device()();
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (ParseFlag(argv[i], "-seconds=", &seconds) || ParseFlag(argv[i], "-seed=", &seed)) continue;
    files.emplace_back(argv[i]);
  }
  if (!files.empty()) return RunFiles(files);

  printf("seed %llu\n", static_cast<unsigned long long>(seed));
  fflush(stdout);
  const prefork::os::Clock* const clock = prefork::os::Clock::System();
  const int64_t end_ns = clock->MonotonicNs() + seconds * kNsPerSecond;
  Mutator mutator(seed);
  CrashFile crash_file;
  uint64_t runs = 0;
  while (clock->MonotonicNs() < end_ns) {
    const std::string input = mutator.Next();
    crash_file.Keep(input);
    Run(input);
    ++runs;
  }
  printf("%llu inputs in %lld s, none of them did harm\n", static_cast<unsigned long long>(runs),
         static_cast<long long>(seconds));
  return 0;
}
