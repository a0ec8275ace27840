"""The paper's Table 5: frame mAP by stage, with and without cooperation, over several seeds."""
