"""Citations of the methods whose weights are registered."""

from __future__ import annotations

ACTIVE_SHAPE_MODELS = "Cootes et al., Active Shape Models, CVIU 1995"
BOOTSTAP = "Doersch et al., BootsTAP, ACCV 2024 (arXiv 2402.00847)"
ERT = "Kazemi & Sullivan, One Millisecond Face Alignment, CVPR 2014"
FAN = "Bulat & Tzimiropoulos, 2D & 3D Face Alignment, ICCV 2017 (arXiv 1703.07332)"
HEATMAP1D = "Yin et al., Attentive 1D Heatmap Regression, ACM MM 2020 (arXiv 2004.02108)"
MTCNN = "Zhang et al., IEEE Signal Processing Letters 2016 (arXiv 1604.02878)"
PIPNET = "Jin et al., Pixel-in-Pixel Net, IJCV 2021 (arXiv 2003.03771)"
S3FD = "Zhang et al., S3FD, ICCV 2017 (arXiv 1708.05237)"
STAR = "Zhou et al., STAR Loss, CVPR 2023 (arXiv 2306.02763)"
STRUCTURE_FROM_MOTION = "Torresani et al., Nonrigid Structure-from-Motion, PAMI 2008"
TAPIR = "Doersch et al., TAPIR, ICCV 2023 (arXiv 2306.08637)"
YUNET = "Wu et al., YuNet, Machine Intelligence Research 2023"
