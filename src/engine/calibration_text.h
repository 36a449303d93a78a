// The parts of calibration texts that are used.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "calibration/calibrator.h"
#include "precis/text_codec.h"

namespace precis {

// Windows of the texts' ids, each with what stands before a text (bos or nothing), evenly spread over all texts: of
// 2,048 ids, or `context` where that is less, and so many that they have at most `tokens` ids (but at least one).
// Throws Error when none of the texts has a whole window, or a window has no room for text.
TextWindows cut_calibration_text(const TextCodec& codec, std::span<const std::string> texts, std::int64_t context,
                                 std::int64_t tokens);

}  // namespace precis
