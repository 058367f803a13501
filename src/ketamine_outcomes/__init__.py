"""Opioid exposure, pain relief and infusion-site complications around ketamine."""

__version__ = "0.1.0"
