tapeout trian spec.yaml
