// Fields of config.json that carry no number of the computation: bookkeeping, training, defaults of generation.
#include <array>

#include "base/error.h"
#include "families/common.h"

namespace precis {
namespace {

constexpr auto harmless = std::to_array<std::string_view>({
    // who wrote the file, and with what
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "finetuning_task",
    "is_llama_config",
    "model_type",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_flash_attn",
    "use_flash_attention",
    "use_flash_attention_2",
    // the tokenizer's affairs
    "bos_token",
    "eos_token",
    "max_sequence_length",
    "model_max_length",
    "pad_token",
    "pad_token_id",
    "prefix",
    "sep_token_id",
    "tokenizer_class",
    "tokenizer_model_max_length",
    "tokenizer_padding_side",
    "unk_token_id",
    // training
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "classifier_dropout",
    "dropout",
    "embd_pdrop",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "initializer_range",
    "neftune_noise_alpha",
    "resid_pdrop",
    "use_bfloat16",
    "z_loss_weight",
    // what a call returns, and other kinds of head
    "chunk_size_feed_forward",
    "id2label",
    "is_decoder",
    "keys_to_ignore_at_inference",
    "label2id",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "problem_type",
    "return_dict",
    "return_dict_in_generate",
    "task_specific_params",
    "torchscript",
    "use_cache",
    // results are the same for every degree of tensor parallelism
    "pretraining_tp",
    // defaults of generation, read from generation_config.json alone
    "bad_words_ids",
    "begin_suppress_tokens",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "remove_invalid_values",
    "repetition_penalty",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
});

}  // namespace

void refuse_unread(Fields& config) {
  for (const std::string_view key : harmless) config.ignore(key);
  const auto unread = config.unread();
  if (unread.empty()) return;
  const std::string& name = unread.front();
  fail("{}: {}: not known to Precis, and may change results, found {}", config.object().place(), printable(name),
       config.object().at(name).shown());
}

}  // namespace precis
