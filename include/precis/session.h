// What an engine writes to a file and reads back, so that a conversation goes on where it stopped: docs/sessions.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace precis {

struct SessionInfo {
  std::int64_t tokens = 0;      // of the ids, whose K and V are in the file
  std::int64_t kv_bytes = 0;    // of these
  std::int64_t file_bytes = 0;  // of the whole file
  double seconds = 0;           // from the call until the file was there, and safe on the disk
};

struct LoadedSession {
  std::vector<std::int32_t> ids;  // as they were given to save_session(), those that were not computed included
  std::string note;               // likewise
  std::int64_t tokens = 0;        // of the ids, that a request which begins with them need not compute
  std::int64_t kv_bytes = 0;
  std::string device;  // Engine::device() of the engine that has saved it: bits are the same on an equal one
  double seconds = 0;  // of the call
};

}  // namespace precis
