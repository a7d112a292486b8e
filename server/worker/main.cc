#include "server/worker/zygote_main.h"

int main(int argc, char** argv) {
  return prefork::worker::ZygoteMain(argc, argv, /*observer=*/nullptr);
}
