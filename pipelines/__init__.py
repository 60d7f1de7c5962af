"""The pipelines (Kubeflow, kfp v2), run here in subprocesses or submitted to a cluster."""
