"""ImageNet files in their publishers' own names, written out here, with random tensors or none (device meta)."""

import torch

CLASSES = 1000


class File:
    """A state_dict that fills up."""

    def __init__(self):
        self.tensors = {}

    def add(self, name, *shape):
        self.tensors[name] = torch.randn(shape) if shape else torch.tensor(7)

    def linear(self, name, outputs, inputs, *kernel):
        self.add(f"{name}.weight", outputs, inputs, *kernel)
        self.add(f"{name}.bias", outputs)

    def norm(self, name, channels):
        self.add(f"{name}.weight", channels)
        self.add(f"{name}.bias", channels)

    def batch_norm(self, name, channels):
        self.norm(name, channels)
        self.add(f"{name}.running_mean", channels)
        self.tensors[f"{name}.running_var"] = torch.rand(channels) + 0.5
        self.add(f"{name}.num_batches_tracked")


def resnet(depth, width=64, deep_stem=False):
    """torchvision's ResNet-50 or -101; with the deep stem OpenMMLab's."""
    file = File()
    if deep_stem:
        for place, (outputs, inputs) in {
            0: (width // 2, 3),
            3: (width // 2, width // 2),
            6: (width, width // 2),
        }.items():
            file.add(f"stem.{place}.weight", outputs, inputs, 3, 3)
            file.batch_norm(f"stem.{place + 1}", outputs)
    else:
        file.add("conv1.weight", width, 3, 7, 7)
        file.batch_norm("bn1", width)
    inputs = width
    for stage, blocks in enumerate({50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]):
        middle = width * 2**stage
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            for n, shape in enumerate([(middle, inputs, 1, 1), (middle, middle, 3, 3), (4 * middle, middle, 1, 1)], 1):
                file.add(f"{name}.conv{n}.weight", *shape)
                file.batch_norm(f"{name}.bn{n}", shape[0])
            if block == 0:
                file.add(f"{name}.downsample.0.weight", 4 * middle, inputs, 1, 1)
                file.batch_norm(f"{name}.downsample.1", 4 * middle)
            inputs = 4 * middle
    file.linear("fc", CLASSES, inputs)
    return file.tensors


def vgg16(divisor=1, fully=4096):
    """torchvision's VGG16."""
    file, inputs, place = File(), 3, 0
    for block, convolutions in enumerate((2, 2, 3, 3, 3)):
        for _ in range(convolutions):
            outputs = min(64 * 2**block, 512) // divisor
            file.linear(f"features.{place}", outputs, inputs, 3, 3)
            inputs, place = outputs, place + 2
        place += 1
    file.linear("classifier.0", fully, inputs * 49)
    file.linear("classifier.3", fully, fully)
    file.linear("classifier.6", CLASSES, fully)
    return file.tensors


def swin(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32), timm=False):
    """The authors' Swin; with `timm` the layout of timm 0.9, where a stage begins with its downsampling."""
    file = File()
    file.linear("patch_embed.proj", width, 3, 4, 4)
    file.norm("patch_embed.norm", width)
    for stage, depth in enumerate(depths):
        channels = width * 2**stage
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}"
            file.norm(f"{name}.norm1", channels)
            file.add(f"{name}.attn.relative_position_bias_table", 169, heads[stage])
            file.add(f"{name}.attn.relative_position_index", 49, 49)
            file.linear(f"{name}.attn.qkv", 3 * channels, channels)
            file.linear(f"{name}.attn.proj", channels, channels)
            file.norm(f"{name}.norm2", channels)
            file.linear(f"{name}.mlp.fc1", 4 * channels, channels)
            file.linear(f"{name}.mlp.fc2", channels, 4 * channels)
            if block % 2 and stage < 3:
                file.add(f"{name}.attn_mask", 64 // 4**stage, 49, 49)
        if stage < 3:
            name = f"layers.{stage + timm}.downsample"
            file.add(f"{name}.reduction.weight", 2 * channels, 4 * channels)
            file.norm(f"{name}.norm", 4 * channels)
    file.norm("norm", channels)
    file.linear("head.fc" if timm else "head", CLASSES, channels)
    return file.tensors


def twins(widths=(96, 192, 384, 768), depths=(2, 2, 18, 2)):
    """The authors' and timm's Twins-SVT."""
    file, inputs = File(), 3
    for stage, (channels, depth) in enumerate(zip(widths, depths, strict=True)):
        side = 2 if stage else 4
        file.linear(f"patch_embeds.{stage}.proj", channels, inputs, side, side)
        file.norm(f"patch_embeds.{stage}.norm", channels)
        inputs, ratio = channels, 8 // 2**stage
        for block in range(depth):
            name = f"blocks.{stage}.{block}"
            file.norm(f"{name}.norm1", channels)
            if block % 2:
                file.linear(f"{name}.attn.q", channels, channels)
                file.linear(f"{name}.attn.kv", 2 * channels, channels)
                if ratio > 1:
                    file.linear(f"{name}.attn.sr", channels, channels, ratio, ratio)
                    file.norm(f"{name}.attn.norm", channels)
            else:
                file.linear(f"{name}.attn.qkv", 3 * channels, channels)
            file.linear(f"{name}.attn.proj", channels, channels)
            file.norm(f"{name}.norm2", channels)
            file.linear(f"{name}.mlp.fc1", 4 * channels, channels)
            file.linear(f"{name}.mlp.fc2", channels, 4 * channels)
        file.linear(f"pos_block.{stage}.proj.0", channels, 1, 3, 3)
    file.norm("norm", inputs)
    file.linear("head", CLASSES, inputs)
    return file.tensors
