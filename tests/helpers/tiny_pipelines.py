"""Pipelines of diffusers with random weights and a vocabulary of a few words, built from config: nothing is loaded."""

from __future__ import annotations

from typing import Any

import torch

WORDS = (
    *("a", "photo", "of", "the", "red", "blue", "green", "coat", "hat", "dog", "cat"),
    *("on", "table", "with", "big", "small", "old", "new", "and", "very"),
)
LENGTH = 16
"""Tokens that a text encoder takes, with those for start and end."""
SIZE = 8
"""Height and width of latents; a VAE without downsampling makes images of the same size."""


def tokenizer() -> Any:
    """One token a word; other words are `<unk>`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<unk>", "<s>", "</s>", *WORDS]
    core = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=LENGTH,
    )


def clip_text(*, projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=4 + len(WORDS),
        hidden_size=8,
        intermediate_size=16,
        projection_dim=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        initializer_range=1.0,
        initializer_factor=5.0,
    )
    torch.manual_seed(1)
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5_text() -> Any:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(2)
    config = T5Config(
        vocab_size=4 + len(WORDS), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0, eos_token_id=3
    )
    return T5EncoderModel(config).eval()


def vae(channels: int = 4, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    torch.manual_seed(3)
    return AutoencoderKL(
        block_out_channels=(8,), norm_num_groups=4, latent_channels=channels, sample_size=SIZE, **options
    ).eval()


def unet(**options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    made = UNet2DConditionModel(
        sample_size=SIZE,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        **{"cross_attention_dim": 8, **options},
    ).eval()
    for name, part in made.named_modules():
        if name.endswith("attn2"):  # a random network hardly reads the prompt
            part.to_out[0].weight.data *= 20.0
    return made


def ddim_scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(num_train_timesteps=10, steps_offset=1, clip_sample=False)


def stable_diffusion(*, safety_checker: Any = None, feature_extractor: Any = None, scheduler: Any = None) -> Any:
    """A `StableDiffusionPipeline` [4, 8, 8] -> [3, 8, 8]."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=vae(),
        text_encoder=clip_text(),
        tokenizer=tokenizer(),
        unet=unet(),
        scheduler=scheduler or ddim_scheduler(),
        safety_checker=safety_checker,
        feature_extractor=feature_extractor,
        requires_safety_checker=False,
    )


def stable_diffusion_xl() -> Any:
    """A `StableDiffusionXLPipeline` [4, 8, 8] -> [3, 8, 8], with two text encoders."""
    from diffusers import StableDiffusionXLPipeline

    added = unet(
        cross_attention_dim=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=8 + 6 * 4,
    )
    return StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=clip_text(),
        text_encoder_2=clip_text(projection=True),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=added,
        scheduler=ddim_scheduler(),
        add_watermarker=False,
    )


def flux() -> Any:
    """A `FluxPipeline`, a flow-matching transformer on packed latents [4, 16] -> [3, 4, 4]."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(4)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
    ).eval()
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(4, scaling_factor=1.0, shift_factor=0.0),
        text_encoder=clip_text(),
        tokenizer=tokenizer(),
        text_encoder_2=t5_text(),
        tokenizer_2=tokenizer(),
        transformer=transformer,
    )


def wan() -> Any:
    """A `WanPipeline`, which makes videos [2 frames or more, 3, 16, 16] of latents [16, 1 frame or more, 2, 2]."""
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel

    torch.manual_seed(5)
    video_vae = AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval()
    torch.manual_seed(6)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=8,
        freq_dim=8,
        ffn_dim=16,
        num_layers=1,
        rope_max_seq_len=16,
    ).eval()
    return WanPipeline(
        tokenizer=tokenizer(),
        text_encoder=t5_text(),
        vae=video_vae,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        transformer=transformer,
    )
