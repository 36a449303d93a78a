// The kernels that compute tiles of attention. launch_tile_attention() (attention_plan.h) chooses between them.
#pragma once

#include "backend/cuda/attention_plan.h"

namespace precis::cuda {

// attention_tiles.cu: by mma.sync, for any head and GPU.
void launch_mma_tiles(const TileArgs& args, cudaStream_t stream);

// attention_wgmma.cu: by wgmma, which GPUs of compute capability 9.0 alone have.
bool has_wgmma_tiles(std::int64_t head_dim);
void launch_wgmma_tiles(const TileArgs& args, cudaStream_t stream);

}  // namespace precis::cuda
